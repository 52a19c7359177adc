from django.contrib import admin

from mediastream.live.models import Camera


@admin.register(Camera)
class CameraAdmin(admin.ModelAdmin):
    list_display = ("name", "slug", "shown_source", "fps", "visibility")
    list_filter = ("visibility",)
    search_fields = ("name", "slug")
    prepopulated_fields = {"slug": ("name",)}

    @admin.display(description="source")
    def shown_source(self, camera: Camera) -> str:
        return camera.masked_source

from django.contrib import admin
from django.http import HttpRequest

from mediastream.access import is_administrator
from mediastream.live.models import Camera


@admin.register(Camera)
class CameraAdmin(admin.ModelAdmin):
    list_display = ("name", "slug", "shown_source", "fps", "visibility")
    list_filter = ("visibility",)
    search_fields = ("name", "slug")
    prepopulated_fields = {"slug": ("name",)}

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Administrators only, whatever permissions others hold: a source can be any file of the server's,
        or any address it reaches, and may contain a password."""
        return is_administrator(request.user)

    has_add_permission = has_module_permission

    def has_view_permission(self, request: HttpRequest, obj: Camera | None = None) -> bool:
        return is_administrator(request.user)

    has_change_permission = has_delete_permission = has_view_permission

    @admin.display(description="source")
    def shown_source(self, camera: Camera) -> str:
        return camera.masked_source

"""The library in the admin: upload, edit, retry a failed probe, delete."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.defaultfilters import filesizeformat
from django.utils.decorators import method_decorator
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.views.decorators.csrf import csrf_protect

from media_library import ingest
from media_library.forms import MediaForm
from media_library.models import Media, State
from mediastream.access import visible_to
from mediastream.errors import NotMedia


@admin.register(Media)
class MediaAdmin(admin.ModelAdmin):
    form = MediaForm
    list_display = ("title", "watch", "state", "visibility", "owner", "length", "shown_size", "created_at")
    list_filter = ("state", "visibility", "created_at")
    search_fields = ("title", "original_name")
    fieldsets = (
        (None, {"fields": ("title", "file", "visibility", "owner")}),
        (
            "What the probe found",
            {"fields": ("original_name", "state", "reason", "length", "shown_size", "content_type", "stream_list")},
        ),
    )
    readonly_fields = ("original_name", "state", "reason", "length", "shown_size", "content_type", "stream_list")
    actions: tuple[str, ...] = ("retry_probe",)

    def get_fieldsets(self, request: HttpRequest, obj: Media | None = None) -> Any:
        """Before the upload there is nothing found to show."""
        fieldsets = super().get_fieldsets(request, obj)
        return fieldsets if obj else fieldsets[:1]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Media]:
        return super().get_queryset(request).filter(visible_to(request.user))

    @method_decorator(csrf_protect)
    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Without the transaction Django puts round it: the probe runs inside, for seconds perhaps, and an
        open write transaction of SQLite would keep everybody else from writing. ingest.py has its own."""
        response = self._changeform_view(request, *args, **kwargs)  # type: ignore[attr-defined]
        form = (getattr(response, "context_data", None) or {}).get("adminform")
        if form is not None and "file" in form.form.errors and "file" in request.FILES:
            response.status_code = NotMedia.status  # the page is the form again; scripts look at the status
        return response

    def save_model(self, request: HttpRequest, obj: Media, form: Any, change: bool) -> None:
        """Through the one door (ingest.py); who uploads owns, unless the form says otherwise."""
        if not change and obj.owner is None:
            obj.owner = request.user  # type: ignore[assignment]
        if form.inspection is not None:
            ingest.describe(obj, form.cleaned_data["file"].name, form.cleaned_data["file"].size)
            form.inspection.apply(obj)
        ingest.save(obj)
        if obj.state == State.FAILED:
            messages.warning(request, f"Stored, but it cannot be played yet: {obj.reason} Use “Probe again” to retry.")

    @admin.action(description="Probe again", permissions=["change"])
    def retry_probe(self, request: HttpRequest, queryset: QuerySet[Media]) -> None:
        for media in queryset:
            ingest.probe_again(media)
            level = messages.SUCCESS if media.state == State.READY else messages.ERROR
            self.message_user(request, f"{media}: {media.reason or 'ready'}", level)

    @admin.display(description="length")
    def length(self, media: Media) -> str:
        return media.clock or "unknown"

    @admin.display(description="size")
    def shown_size(self, media: Media) -> str:
        return filesizeformat(media.size)

    @admin.display(description="streams")
    def stream_list(self, media: Media) -> SafeString:
        rows = ((" ".join(f"{name}: {value}" for name, value in stream.items() if value),) for stream in media.streams)
        return format_html_join("", "<div>{}</div>", rows)

    @admin.display(description="")
    def watch(self, media: Media) -> SafeString:
        return format_html('<a href="{}">Watch</a>', media.get_absolute_url())

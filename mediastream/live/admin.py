"""Cameras in the admin: their terms, how each is now, and a test of a source before it is stored."""

import base64
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from mediastream import ffmpeg, homeloop
from mediastream.access import is_administrator
from mediastream.errors import MethodNotAllowed, Unknown
from mediastream.live import described, registry, trial
from mediastream.live.condition import Condition
from mediastream.live.failures import Failure
from mediastream.live.forms import CameraForm
from mediastream.live.models import Camera
from mediastream.live.recording import recorders as recording
from mediastream.live.scaling import scaled
from mediastream.live.terms import Terms

TEST_PAGE = "admin/live/camera/test.html"
SHOWN_WIDTH = 640  # pixels of the picture that a test shows
MOST_SHOWN = 4 * 1024 * 1024  # bytes of it
SLACK = 10.0  # seconds over a trial's own deadline: it ends itself


@admin.register(Camera)
class CameraAdmin(admin.ModelAdmin):
    form = CameraForm
    fieldsets = (
        (None, {"fields": ("name", "slug", "visibility", "always_on")}),
        ("Source", {"fields": ("source", "username", "password", "any_certificate")}),
        ("Pictures", {"fields": ("fps", "size", "quality", "still_every", "drop_identical")}),
        ("Recording", {"fields": ("record", "keep_hours", "keep_gb", "recording")}),
        ("Now", {"fields": ("shown_state", "came", "watching", "trouble")}),
    )
    readonly_fields = ("recording", "shown_state", "came", "watching", "trouble")
    list_display = ("name", "slug", "shown_source", "fps", "visibility", "shown_state", "recording")
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

    @admin.display(description="recording")
    def recording(self, camera: Camera) -> str:
        state, detail = recording.state_of(camera.pk, camera.record)
        return f"{state.value.replace('_', ' ')}: {detail}" if detail else state.value.replace("_", " ")

    def get_fieldsets(self, request: HttpRequest, obj: Camera | None = None) -> Any:
        """What is not stored yet is in no state."""
        fieldsets = super().get_fieldsets(request, obj)
        return fieldsets if obj else fieldsets[:-1]

    def get_urls(self) -> list[URLPattern]:
        test = self.admin_site.admin_view(self.test)
        ours = [
            path("test/", test, name="live_camera_test"),
            path("<int:stored>/test/", test, name="live_camera_test_stored"),
        ]
        return [*ours, *super().get_urls()]

    def test(self, request: HttpRequest, stored: int | None = None) -> HttpResponse:
        """Open the source that the form names, and show what it gives; nothing is stored. `stored`: whose form
        it is, as the password in it is empty."""
        if not is_administrator(request.user):
            raise PermissionDenied
        if request.method != "POST":
            raise MethodNotAllowed(("POST",))
        camera = Camera.objects.filter(pk=stored).first() if stored is not None else None
        if stored is not None and camera is None:
            raise Unknown("This camera has been deleted; add it anew.")
        form = CameraForm(request.POST, instance=camera)
        context = {**self.admin_site.each_context(request), "title": "Test of a source", "opts": self.opts}
        if errors := form.errors_of_terms():
            return TemplateResponse(request, TEST_PAGE, {**context, "errors": errors}, status=400)
        terms = form.instance.terms
        given, picture = homeloop.call(_try(terms), trial.DEADLINE + SLACK)
        shown = {
            "source": form.instance.masked_source,
            "tried": described.tried(given),
            "came": described.came(given.facts, given.rate, given.frame) if given.frame is not None else "",
            "picture": picture,
            "lines": given.failure.lines if given.failure is not None else (),
        }
        return TemplateResponse(request, TEST_PAGE, {**context, **shown})

    @admin.display(description="source")
    def shown_source(self, camera: Camera) -> str:
        return camera.masked_source

    @admin.display(description="state")
    def shown_state(self, camera: Camera) -> str:
        return described.state(_now(camera))

    @admin.display(description="what comes")
    def came(self, camera: Camera) -> str:
        now = _now(camera)
        return described.came(now.facts, now.rate)

    @admin.display(description="who watches")
    def watching(self, camera: Camera) -> str:
        return described.watching(_now(camera))

    @admin.display(description="last failure")
    def trouble(self, camera: Camera) -> SafeString | str:
        failure = _now(camera).failure
        return _told(failure) if failure is not None else "none since it was opened"


def _now(camera: Camera) -> Condition:
    return registry.condition(camera.slug, camera.terms)


def _told(failure: Failure) -> SafeString:
    """With what FFmpeg said last, line by line."""
    lines = format_html_join("\n", "{}", ((line,) for line in failure.lines))
    return format_html("{}<pre>{}</pre>", described.failed(failure), lines)


async def _try(terms: Terms) -> tuple[trial.Trial, str]:
    """And the picture as a `data:` address, so that nothing of it is kept for a second request."""
    given = await trial.attempt(ffmpeg.executable(settings.FFMPEG), terms)
    picture = await scaled(given.frame, SHOWN_WIDTH) if given.frame is not None else b""
    if not picture or len(picture) > MOST_SHOWN:
        return given, ""
    return given, f"data:image/jpeg;base64,{base64.b64encode(picture).decode()}"

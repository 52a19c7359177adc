"""How each item reaches a browser, on its page in the admin.

The library's own admin knows nothing of transcoding, which lies above it: what it registered is extended here.
"""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from media_library.admin import MediaAdmin
from media_library.models import Media
from transcode.decision import decide
from transcode.player import BROWSER

Registered: Any = type(admin.site.get_model_admin(Media)) if admin.site.is_registered(Media) else MediaAdmin


class PlayingAdmin(Registered):  # type: ignore[misc]
    """`playing`: the decision for a common browser, with its reasons."""

    def get_readonly_fields(self, request: HttpRequest, obj: Media | None = None) -> Any:
        return (*super().get_readonly_fields(request, obj), "playing")

    def get_fieldsets(self, request: HttpRequest, obj: Media | None = None) -> Any:
        fieldsets = super().get_fieldsets(request, obj)
        return (*fieldsets, ("In a browser", {"fields": ("playing",)})) if obj else fieldsets

    @admin.display(description="how it is played")
    def playing(self, media: Media) -> SafeString:
        found = decide(media.facts, BROWSER)
        how = "The file is played as it is." if found.native else "By HLS, as a common browser does not play the file."
        return format_html_join("", "<div>{}</div>", ((line,) for line in (how, *found.sentences)))


if admin.site.is_registered(Media):
    admin.site.unregister(Media)
admin.site.register(Media, PlayingAdmin)

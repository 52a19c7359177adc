"""The page of open streams. It is filled by the topic (sessions.js), and can end a stream."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path

from mediastream import homeloop, streams
from mediastream.access import is_administrator
from mediastream.errors import MethodNotAllowed, Unknown
from mediastream.open_streams.models import OpenStream

DEADLINE = 5.0  # seconds a request waits for the home loop


@admin.register(OpenStream)
class OpenStreamAdmin(admin.ModelAdmin):
    def has_module_permission(self, request: HttpRequest) -> bool:
        """Administrators only: it tells who watches what."""
        return is_administrator(request.user)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_administrator(request.user)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    has_delete_permission = has_change_permission

    def get_urls(self) -> list[URLPattern]:
        """There are no rows to add, change or delete."""
        listed, ended = (self.admin_site.admin_view(view) for view in (self.changelist_view, self.end))
        return [
            path("", listed, name="streams_openstream_changelist"),
            path("<int:number>/end/", ended, name="streams_openstream_end"),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        if not is_administrator(request.user):
            raise PermissionDenied
        context = {**self.admin_site.each_context(request), "title": "Open streams", "opts": self.opts}
        return TemplateResponse(request, "admin/streams/openstream/change_list.html", context)

    def end(self, request: HttpRequest, number: int) -> HttpResponse:
        """As if its right had gone. Whoever still has that may come again."""
        if not is_administrator(request.user):
            raise PermissionDenied
        if request.method != "POST":
            raise MethodNotAllowed(("POST",))
        if not homeloop.call(_end(number), DEADLINE):
            raise Unknown("This stream is over already.")
        return HttpResponse(status=204)


async def _end(number: int) -> bool:
    found = next((stream for stream in streams.open_streams() if stream.number == number), None)
    if found is None:
        return False
    found.revoke()
    return True

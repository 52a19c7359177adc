"""A recorded span becomes an item of the library, which keeps it when the recording's time is over.

Cameras and the library do not know each other: this lies above both. Who may see the camera and may upload may do
it, and owns the item, which is as visible as the camera is.
"""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.files.base import File
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect, JsonResponse

from media_library import ingest
from media_library.models import Media
from media_library.storage import draft
from mediastream.access import UPLOAD_PERMISSION
from mediastream.errors import BodyTooLarge, Fault, NoRight, SignInNeeded, system_fault
from mediastream.faults import allow
from mediastream.live.known import KnownCamera, right_to
from mediastream.live.models import Camera
from mediastream.live.recording import times
from mediastream.live.recording.playing import Recorded
from mediastream.live.recording.views import found_of


@allow("POST")
async def save(request: HttpRequest, slug: str) -> HttpResponseBase:
    """A browser's form is shown the item; a script is told where it is."""
    right = await right_to(request, slug)
    user = await request.auser()
    if not user.is_authenticated:
        raise SignInNeeded
    start, end = times.span(request.POST)
    media = await sync_to_async(_save)(right.item, user, start, end)
    if "text/html" in request.headers.get("Accept", ""):
        return HttpResponseRedirect(media.get_absolute_url(), status=303)
    answer = {"id": str(media.pk), "title": media.title, **media.links()}
    return JsonResponse(answer, status=201, headers={"Location": media.get_absolute_url(), "Cache-Control": "no-store"})


def _save(camera: KnownCamera, user: Any, start: int, end: int) -> Media:
    if not user.has_perm(UPLOAD_PERMISSION):
        raise NoRight("You may see this camera, but not add to the library; ask an administrator.")
    recorded = found_of(camera, start, end)
    bounds = settings.REQUEST_BODY_BOUNDS
    if recorded.size > bounds.max_upload:
        raise BodyTooLarge(f"This span has {recorded.size} bytes; items of up to {bounds.max_upload} can be stored.")
    bounds.check_room(recorded.size)
    name = Camera.objects.filter(pk=camera.pk).values_list("name", flat=True).first() or camera.slug
    moment = datetime.fromtimestamp(recorded.span.start // 1000, UTC)
    media = Media(title=f"{name}, {moment:%Y-%m-%d %H:%M:%S} UTC"[:200], visibility=camera.visibility, owner=user)
    ingest.describe(media, f"{camera.slug} {moment:%Y-%m-%d %H-%M-%S}.mp4", recorded.size)
    try:
        return _stored(media, recorded)
    except OSError as fault:
        raise system_fault(fault) or Fault(f"The span cannot be stored ({fault.strerror}).") from None


def _stored(media: Media, recorded: Recorded) -> Media:
    """By the library's own door. The copy is made where a rename puts it in place."""
    descriptor, name = draft()
    path = Path(name)
    with os.fdopen(descriptor, "wb") as copy:
        try:
            for chunk in recorded.chunks():
                copy.write(chunk)
            copy.flush()
            os.fchmod(copy.fileno(), 0o644)
            ingest.inspect(path).apply(media)
            media.file = _Copied(copy, media.original_name, path)
            ingest.save(media)
        finally:
            path.unlink(missing_ok=True)
    return media


class _Copied(File):  # type: ignore[type-arg]
    """Django moves a file that says where it lies, instead of copying it."""

    def __init__(self, file: Any, name: str, path: Path) -> None:
        super().__init__(file, name)
        self._path = path

    def temporary_file_path(self) -> str:
        return str(self._path)

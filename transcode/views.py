"""A stored item, transcoded on the fly as one progressive stream."""

import uuid
from collections.abc import Coroutine
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase
from django.urls import path

from media_library.items import Item, right_to
from mediastream import access, ffmpeg, homeloop
from mediastream.bodies import ProcessBody
from mediastream.errors import TranscodeFailed, Unknown
from mediastream.faults import allow
from mediastream.lean import lean
from mediastream.responses import StreamResponse, headers_only
from transcode import argv, fallback, forms, registry
from transcode.encoders import SOFTWARE, Encoder
from transcode.profiles import Profile


@lean
@allow("GET", "HEAD")
async def stream(request: HttpRequest, media_id: uuid.UUID) -> HttpResponseBase:
    right = await right_to(request, media_id)
    item = right.item
    start, profile = forms.parse(request.GET, item.facts.duration)
    item.require_ready()
    content_type = "video/mp4" if item.video else "audio/mp4"
    if request.method == "HEAD":
        return _described(headers_only(content_type), item)
    body = await homeloop.run(_open(item, start, profile))
    response = StreamResponse(body, content_type, item.label("transcode"), right)
    try:
        response.right = right = await right_to(request, media_id)  # FFmpeg may have taken seconds to its first byte
    except BaseException:
        await response.aclose()
        raise
    right.give_ticket(request, response)
    return _described(response, item)


async def _open(item: Item, start: float, profile: Profile) -> ProcessBody:
    def opened(encoder: Encoder) -> Coroutine[Any, Any, ProcessBody]:
        return _opened(item, start, profile, encoder)

    if item.video is None:
        return await opened(SOFTWARE)
    return await fallback.encoded(str(item.id), opened, (TranscodeFailed, registry.Silent))


async def _opened(item: Item, start: float, profile: Profile, encoder: Encoder) -> ProcessBody:
    command = _command(item, start, profile, encoder)
    return await registry.open_transcode(command, settings.TRANSCODES, settings.CHUNK_SIZE, profile.limits(encoder))


def _command(item: Item, start: float, profile: Profile, encoder: Encoder) -> list[str]:
    if not item.path.exists():
        raise Unknown("The file of this item is gone from the storage; upload it again.")
    facts = item.facts
    video, audio = facts.first("video"), facts.first("audio")
    executable = ffmpeg.executable(settings.FFMPEG)
    return argv.progressive(executable, item.path, profile, start, video=video, audio=audio, encoder=encoder)


def _described(response: HttpResponseBase, item: Item) -> HttpResponseBase:
    """The length is not known before the end, so there are no ranges: a seek is a new request with `start`."""
    response["Accept-Ranges"] = "none"
    response["Cache-Control"] = access.cache_control(item.visibility, 0)
    response["X-Accel-Buffering"] = "no"
    return response


urlpatterns = [path("media/<uuid:media_id>/stream.mp4", stream, name="stream")]

"""A stored item, transcoded on the fly as one progressive stream."""

import uuid

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase
from django.urls import path

from media_library.models import Media, State
from media_library.views import visible_media
from mediastream import access, ffmpeg, homeloop
from mediastream.errors import NotReady, Unknown
from mediastream.faults import allow
from mediastream.lean import lean
from mediastream.responses import StreamResponse, headers_only
from transcode import argv, forms, registry
from transcode.profiles import Profile


@lean
@allow("GET", "HEAD")
async def stream(request: HttpRequest, media_id: uuid.UUID) -> HttpResponseBase:
    media = await visible_media(request, media_id)
    start, profile = forms.parse(request.GET, media.duration)
    if media.state != State.READY:
        raise NotReady(f"“{media}” cannot be played yet: {media.reason or 'it has not been probed'}")
    content_type = "video/mp4" if media.video else "audio/mp4"
    if request.method == "HEAD":
        return _described(headers_only(content_type), media)
    body = await homeloop.run(registry.open_transcode(_command(media, start, profile), settings.TRANSCODES))
    return _described(StreamResponse(body, content_type), media)


def _command(media: Media, start: float, profile: Profile) -> list[str]:
    if not media.path.exists():
        raise Unknown("The file of this item is gone from the storage; upload it again.")
    facts = media.facts
    video, audio = facts.first("video"), facts.first("audio")
    return argv.progressive(ffmpeg.executable(settings.FFMPEG), media.path, profile, start, video=video, audio=audio)


def _described(response: HttpResponseBase, media: Media) -> HttpResponseBase:
    """The length is not known before the end, so there are no ranges: a seek is a new request with `start`."""
    response["Accept-Ranges"] = "none"
    response["Cache-Control"] = access.cache_control(media.visibility, 0)
    response["X-Accel-Buffering"] = "no"
    return response


urlpatterns = [path("media/<uuid:media_id>/stream.mp4", stream, name="stream")]

"""A stored item, transcoded on the fly as one progressive stream."""

import uuid
from contextlib import suppress

from django.http import HttpRequest, HttpResponseBase
from django.urls import path

from media_library.items import Item, right_to
from mediastream import access, homeloop
from mediastream.errors import Unknown
from mediastream.faults import allow
from mediastream.lean import lean
from mediastream.responses import StreamResponse, file_response, headers_only
from transcode import forms, opening, player


@lean
@allow("GET", "HEAD")
async def stream(request: HttpRequest, media_id: uuid.UUID) -> HttpResponseBase:
    right = await right_to(request, media_id)
    item = right.item
    start, profile = forms.parse(request.GET, item.facts.duration)
    asking = player.parse(request.GET.dict())
    item.require_ready()
    content_type = "video/mp4" if item.video else "audio/mp4"
    if request.method == "HEAD" and start:
        return _described(headers_only(content_type), item)
    plan = await homeloop.run(opening.planned(item, asking, profile, start))
    kept = await homeloop.run(opening.kept(item, plan))
    if kept is not None:
        with suppress(Unknown):  # it has just been given up for something else
            return await file_response(
                request, kept.path, identity=kept.identity, content_type=content_type,
                cache_control=access.cache_control(item.visibility, 0), right=right, label=item.label("transcode"),
            )  # fmt: skip
    if request.method == "HEAD":
        return _described(headers_only(content_type), item)
    body = await homeloop.run(opening.opened(item, plan))
    response = StreamResponse(body, content_type, item.label("transcode"), right)
    try:
        response.right = right = await right_to(request, media_id)  # FFmpeg may have taken seconds to its first byte
    except BaseException:
        await response.aclose()
        raise
    right.give_ticket(request, response)
    return _described(response, item)


def _described(response: HttpResponseBase, item: Item) -> HttpResponseBase:
    """The length is not known before the end, so there are no ranges: a seek is a new request with `start`."""
    response["Accept-Ranges"] = "none"
    response["Cache-Control"] = access.cache_control(item.visibility, 0)
    response["X-Accel-Buffering"] = "no"
    return response


urlpatterns = [path("media/<uuid:media_id>/stream.mp4", stream, name="stream")]

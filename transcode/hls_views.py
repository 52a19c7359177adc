"""HLS: playlists, segments and subtitles of an item, each address asked for its right.

A master playlist names its reader: a random word in each address below, by which the server knows who asks for what,
so that a player that seeks leaves what it watched before, and one that goes says so with it (`leave`).
"""

import logging
import re
import secrets
import uuid

from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.urls import path, reverse

from media_library.items import Item, right_to
from mediastream import access, homeloop, tickets
from mediastream.errors import BadInput, NoRight, Unknown
from mediastream.faults import allow
from mediastream.lean import lean
from mediastream.responses import file_response, headers_only
from transcode import hls, offers, player, playlists
from transcode.cutter import INIT
from transcode.decision import decide
from transcode.session import Work

logger = logging.getLogger(__name__)
MAX_AGE = 3600  # seconds: a segment's address goes with its player
_VIEWER = re.compile(r"[A-Za-z0-9]{8,64}")
_SEGMENT = re.compile(r"(0|[1-9]\d{0,5})\.m4s", re.ASCII)


@lean
@allow("GET", "HEAD")
async def playback(request: HttpRequest, media_id: uuid.UUID) -> HttpResponseBase:
    """What is best for this player, and why: JSON for the watch page."""
    right = await right_to(request, media_id)
    item = right.item
    asking = player.parse(request.GET.dict())
    item.require_ready()
    decision = decide(item.facts, asking)
    logger.info("playback item=%s native=%s %s", item.id, decision.native, "; ".join(decision.sentences))
    texts = [
        {"src": reverse("subtitles", args=[item.id, s.index]), "language": item.facts.streams[s.index].language}
        for s in decision.of("subtitle")
    ]
    found = {"native": decision.native, "reasons": decision.sentences, "left": decision.left, "subtitles": texts}
    response = JsonResponse({**found, "hls": reverse("hls_master", args=[item.id])})
    response["Cache-Control"] = "no-store"
    right.give_ticket(request, response)
    return response


@lean
@allow("GET", "HEAD")
async def master(request: HttpRequest, media_id: uuid.UUID) -> HttpResponseBase:
    right = await right_to(request, media_id)
    item = right.item
    asking, query = player.parse(request.GET.dict()), _repeated(request)
    item.require_ready()
    if request.method == "HEAD":
        return headers_only(playlists.CONTENT_TYPE)
    source = await homeloop.run(hls.source_of(item))
    size = item.path.stat().st_size
    text = offers.master(source, decide(item.facts, asking), size, query)
    if text is None:
        raise Unknown("There is neither video nor sound in this item.")
    response = _playlist(text)
    right.give_ticket(request, response)
    return response


@lean
@allow("GET", "HEAD")
async def media(request: HttpRequest, media_id: uuid.UUID, rendition: str) -> HttpResponseBase:
    item = (await right_to(request, media_id)).item
    query = _repeated(request)
    if request.method == "HEAD":
        return headers_only(playlists.CONTENT_TYPE)
    work = await _work(item, rendition)
    return _playlist(playlists.media(work.layout, query))


@lean
@allow("GET", "HEAD")
async def segment(request: HttpRequest, media_id: uuid.UUID, rendition: str, part: str) -> HttpResponseBase:
    """An init segment or a segment, as a plain file with ranges once it is made."""
    right = await right_to(request, media_id)
    item = right.item
    viewer = _viewer(request)
    number = _number(part)
    if request.method == "HEAD":
        return headers_only("video/mp4")
    work = await _work(item, rendition)
    if number >= len(work.layout):
        raise Unknown(f"There are {len(work.layout)} segments.")
    path, file = await homeloop.run(hls.sessions().segment(work, number, viewer))
    try:
        right = await right_to(request, media_id)  # FFmpeg may have taken seconds
    except BaseException:
        file.close()
        raise
    return await file_response(
        request, path, file=file, identity=work.key_of(number), content_type=f"{work.kind}/mp4",
        cache_control=access.cache_control(item.visibility, MAX_AGE), right=right, label=item.label("hls"),
    )  # fmt: skip


@lean
@allow("GET", "HEAD")
async def subtitle_playlist(request: HttpRequest, media_id: uuid.UUID, stream: int) -> HttpResponseBase:
    item = (await right_to(request, media_id)).item
    if not any(s.index == stream for s in decide(item.facts, player.BROWSER).of("subtitle")):
        raise Unknown("This item has no text subtitles of this number.")
    query = _repeated(request)
    query.pop("viewer")
    return _playlist(playlists.whole(f"../../subtitles/{stream}.vtt", max(item.facts.duration or 0.0, 1.0), query))


@lean
@allow("GET", "HEAD")
async def subtitles(request: HttpRequest, media_id: uuid.UUID, stream: int) -> HttpResponseBase:
    right = await right_to(request, media_id)
    item = right.item
    if request.method == "HEAD":
        return headers_only("text/vtt")
    made, key = await homeloop.run(hls.subtitles(item, stream))
    right = await right_to(request, media_id)
    return await file_response(
        request, made, identity=key, content_type="text/vtt; charset=utf-8",
        cache_control=access.cache_control(item.visibility, MAX_AGE), right=right, label=item.label("subtitles"),
    )  # fmt: skip


@lean
@allow("POST")
async def leave(request: HttpRequest, media_id: uuid.UUID) -> HttpResponseBase:
    """A page that goes says so (navigator.sendBeacon), and drops the viewer it names: itself.

    A beacon carries no token. It needs none: it does nothing but for a name that only its player and we know, and
    other sites' pages are turned away by what their browser says of them.
    """
    item = (await right_to(request, media_id)).item
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        raise NoRight("This is for the player's own page.")
    if "viewer" not in request.GET:
        raise BadInput("viewer: the name of the player that leaves.")
    viewer = _viewer(request)
    await homeloop.run(_leave(str(item.id), viewer))
    return HttpResponse(status=204, headers={"Cache-Control": "no-store"})


leave.csrf_exempt = True  # type: ignore[attr-defined]


async def _leave(item: str, viewer: str) -> None:
    hls.sessions().leave(item, viewer)


async def _work(item: Item, name: str) -> Work:
    item.require_ready()
    return await homeloop.run(hls.work_named(item, name))


def _number(name: str) -> int:
    if name == "init.mp4":
        return INIT
    match = _SEGMENT.fullmatch(name)
    if match is None:
        raise Unknown("Segments are named 0.m4s, 1.m4s and so on.")
    return int(match[1])


def _viewer(request: HttpRequest) -> str:
    """Who asks; somebody new if it does not say."""
    said = request.GET.get("viewer")
    if said is None:
        return secrets.token_hex(16)
    if _VIEWER.fullmatch(said) is None:
        raise BadInput("viewer: 8 to 64 letters and digits.")
    return said


def _repeated(request: HttpRequest) -> dict[str, str]:
    """What addresses in a playlist repeat: the viewer, and a ticket if it came by query."""
    query = {"viewer": _viewer(request)}
    if tickets.NAME in request.GET:
        query[tickets.NAME] = request.GET[tickets.NAME]
    return query


def _playlist(text: str) -> HttpResponse:
    response = HttpResponse(text, content_type=playlists.CONTENT_TYPE)
    response["Cache-Control"] = "no-store"  # it names its reader
    response["X-Content-Type-Options"] = "nosniff"
    return response


urlpatterns = [
    path("media/<uuid:media_id>/playback.json", playback, name="playback"),
    path("media/<uuid:media_id>/hls/master.m3u8", master, name="hls_master"),
    path("media/<uuid:media_id>/hls/leave", leave, name="hls_leave"),
    path("media/<uuid:media_id>/hls/subtitles-<int:stream>/index.m3u8", subtitle_playlist),
    path("media/<uuid:media_id>/hls/<slug:rendition>/index.m3u8", media),
    path("media/<uuid:media_id>/hls/<slug:rendition>/<str:part>", segment),
    path("media/<uuid:media_id>/subtitles/<int:stream>.vtt", subtitles, name="subtitles"),
]

"""The library's pages, and an item's bytes."""

import uuid
from pathlib import Path

from django.core.files.storage import default_storage
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import render
from django.urls import path, reverse

from media_library.activity import tell_watched
from media_library.chat import room_of
from media_library.items import right_to
from media_library.models import Media, State
from mediastream import access
from mediastream.errors import BadInput, Unknown
from mediastream.faults import allow, sign_in
from mediastream.lean import lean
from mediastream.responses import file_response

MAX_AGE = 300  # seconds a cache may keep public bytes without asking again
PAGE = 60  # items shown at once


@allow("GET", "HEAD")
async def library(request: HttpRequest) -> HttpResponseBase:
    visitor = await request.auser()
    query = request.GET.get("q", "").strip()[:100]
    found = Media.objects.filter(access.visible_to(visitor), state=State.READY)
    if query:
        found = found.filter(title__icontains=query)
    start = _page_start(request.GET.get("from", ""))
    items = [media async for media in found[start : start + PAGE + 1]]
    further = start + PAGE if len(items) > PAGE else None
    context = {"items": items[:PAGE], "query": query, "further": further, "user": visitor}
    return render(request, "media_library/library.html", context)


def _page_start(text: str) -> int:
    if text and not (text.isascii() and text.isdigit() and len(text) < 9):
        raise BadInput("“from” is the number of items to pass over.")
    return int(text or 0)


@sign_in
@allow("GET", "HEAD")
async def watch(request: HttpRequest, media_id: uuid.UUID) -> HttpResponseBase:
    right = await right_to(request, media_id)
    right.item.require_ready()
    media = await Media.objects.filter(pk=media_id).afirst()
    if media is None:  # the row it was let in by is a moment old
        raise Unknown("There is no such item; it may have been deleted.")
    link = right.link(reverse("file", args=[media_id]))
    names = {"playback": "playback", "hls": "hls_master", "leave": "hls_leave"}
    addresses = {key: reverse(name, args=[media_id]) for key, name in names.items()}
    context = {"media": media, "addresses": addresses, "link": link, "room": room_of(media)}
    context["user"] = await request.auser()
    response = render(request, "media_library/watch.html", context)
    if link is not None:
        response["Cache-Control"] = access.cache_control(media.visibility, 0)
    right.give_ticket(request, response)
    if request.method == "GET":
        await tell_watched(media)
    return response


@lean
@allow("GET", "HEAD")
async def file(request: HttpRequest, media_id: uuid.UUID) -> HttpResponseBase:
    right = await right_to(request, media_id)
    item = right.item
    return await file_response(
        request,
        item.path,
        identity=item.name,
        content_type=item.facts.content_type,
        cache_control=access.cache_control(item.visibility, MAX_AGE),
        right=right,
        label=item.label("file"),
        filename=item.original_name or item.title,
        download=request.GET.get("download") == "1",
    )


@lean
@allow("GET", "HEAD")
async def poster(request: HttpRequest, media_id: uuid.UUID) -> HttpResponseBase:
    right = await right_to(request, media_id)
    item = right.item
    if not item.poster:
        raise Unknown("This item has no poster.")
    return await file_response(
        request,
        Path(default_storage.path(item.poster)),
        identity=item.poster,
        content_type="image/jpeg",
        cache_control=access.cache_control(item.visibility, MAX_AGE),
        right=right,
        label=item.label("poster"),
    )


urlpatterns = [
    path("", library, name="library"),
    path("watch/<uuid:media_id>/", watch, name="watch"),
    path("media/<uuid:media_id>/file", file, name="file"),
    path("media/<uuid:media_id>/poster.jpg", poster, name="poster"),
]

"""The library's pages, and an item's bytes."""

import uuid
from pathlib import Path

from django.core.files.storage import default_storage
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import render
from django.urls import path

from media_library.models import Media, State
from mediastream import access
from mediastream.errors import BadInput, NotReady, Unknown
from mediastream.faults import allow, sign_in
from mediastream.lean import lean
from mediastream.responses import file_response

MAX_AGE = 300  # seconds a cache may keep public bytes without asking again
PAGE = 60  # items shown at once


async def visible_media(request: HttpRequest, media_id: uuid.UUID) -> Media:
    """The item, if the visitor may have it. Raises Unknown, SignInNeeded or NoRight."""
    try:
        media = await Media.objects.aget(pk=media_id)
    except Media.DoesNotExist:
        raise Unknown("There is no such item; it may have been deleted.") from None
    await access.admit(request, media.visibility, media.owner_id)
    return media


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
    media = await visible_media(request, media_id)
    if media.state != State.READY:
        raise NotReady(f"“{media}” cannot be played yet: {media.reason or 'it has not been probed'}")
    return render(request, "media_library/watch.html", {"media": media, "user": await request.auser()})


@lean
@allow("GET", "HEAD")
async def file(request: HttpRequest, media_id: uuid.UUID) -> HttpResponseBase:
    media = await visible_media(request, media_id)
    return await file_response(
        request,
        media.path,
        identity=media.file.name or "",
        content_type=media.content_type,
        cache_control=access.cache_control(media.visibility, MAX_AGE),
        filename=media.original_name or f"{media.title}",
        download=request.GET.get("download") == "1",
    )


@lean
@allow("GET", "HEAD")
async def poster(request: HttpRequest, media_id: uuid.UUID) -> HttpResponseBase:
    media = await visible_media(request, media_id)
    name = media.poster.name
    if not name:
        raise Unknown("This item has no poster.")
    return await file_response(
        request,
        Path(default_storage.path(name)),
        identity=name,
        content_type="image/jpeg",
        cache_control=access.cache_control(media.visibility, MAX_AGE),
    )


urlpatterns = [
    path("", library, name="library"),
    path("watch/<uuid:media_id>/", watch, name="watch"),
    path("media/<uuid:media_id>/file", file, name="file"),
    path("media/<uuid:media_id>/poster.jpg", poster, name="poster"),
]

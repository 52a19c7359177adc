"""An item's thumbnails: what there is as WebVTT, and the sprites it names."""

import asyncio
import uuid

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import path

from media_library.items import Item, right_to
from mediastream import access
from mediastream.errors import Unknown
from mediastream.faults import allow
from mediastream.lean import lean
from mediastream.responses import file_response
from transcode import thumbnails
from transcode.derived import THUMBNAILS, token
from transcode.sprites import Layout

MAX_AGE = 300  # seconds a cache may keep public ones without asking again


@lean
@allow("GET", "HEAD")
async def vtt(request: HttpRequest, media_id: uuid.UUID) -> HttpResponseBase:
    """Asked with a ticket, it repeats the ticket in the addresses that it names, for players without cookies."""
    right = await right_to(request, media_id)
    layout = await _layout(right.item)
    right.check()
    ticket = request.GET.get("ticket", "")
    query = f"?ticket={ticket}" if ticket and _plain(ticket) else ""
    response = HttpResponse(layout.vtt(f"thumbnails/{{}}.jpg{query}"), content_type="text/vtt; charset=utf-8")
    response["Content-Length"] = str(len(response.content))
    # One that was asked for by ticket names it, and is for nobody else.
    response["Cache-Control"] = "private, no-store" if query else access.cache_control(right.item.visibility, MAX_AGE)
    response["X-Content-Type-Options"] = "nosniff"
    right.give_ticket(request, response)
    return response


def _plain(ticket: str) -> bool:
    """What a signed ticket is made of: nothing that would end the line or the address."""
    return ticket.isascii() and all(letter.isalnum() or letter in "-_:.=" for letter in ticket)


@lean
@allow("GET", "HEAD")
async def sprite(request: HttpRequest, media_id: uuid.UUID, number: int) -> HttpResponseBase:
    right = await right_to(request, media_id)
    item = right.item
    if number >= (await _layout(item)).sprites:
        raise Unknown("This item has no such sprite; its thumbnails.vtt names those there are.")
    return await file_response(
        request,
        THUMBNAILS.folder_of(item.id, item.name) / f"{number}.jpg",
        identity=f"{token(item.name)}-{number}",
        content_type="image/jpeg",
        cache_control=access.cache_control(item.visibility, MAX_AGE),
        right=right,
        label=item.label("thumbnails"),
    )


async def _layout(item: Item) -> Layout:
    return await asyncio.to_thread(thumbnails.layout_of, item.id, item.name)


urlpatterns = [
    path("media/<uuid:media_id>/thumbnails.vtt", vtt, name="thumbnails"),
    path("media/<uuid:media_id>/thumbnails/<int:number>.jpg", sprite, name="sprite"),
]

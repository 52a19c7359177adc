"""The page of feeds, the ways out, and the way in for scripts."""

import json
from typing import Any

from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.shortcuts import render
from django.urls import path
from django.utils.cache import patch_vary_headers

from mediastream import access, homeloop
from mediastream.errors import BadInput
from mediastream.faults import allow
from mediastream.feeds import asked, changes, hub
from mediastream.feeds.asked import Asked
from mediastream.feeds.bodies import FeedBody
from mediastream.feeds.events import MOST_BYTES, UNNAMED, Event, Format
from mediastream.feeds.known import KnownTopic, Reading, reading, to_publish
from mediastream.feeds.models import Topic
from mediastream.feeds.sources import SIMULATOR
from mediastream.feeds.upstream import key_of
from mediastream.http.coding import choose
from mediastream.http.pieces import CODINGS, Coding
from mediastream.lean import lean, takes_body
from mediastream.responses import StreamResponse, headers_only
from mediastream.streams import Label


@allow("GET", "HEAD")
async def page(request: HttpRequest) -> HttpResponseBase:
    visitor = await request.auser()
    topics = [topic async for topic in Topic.objects.all() if access.may_see(visitor, topic.visibility, None)]
    shown = [
        {
            "name": topic.name,
            "key": topic.key_field,
            "chart": topic.key_field == "symbol",
            "simulated": topic.source == SIMULATOR,
        }
        for topic in topics
    ]
    return render(request, "feeds/page.html", {"topics": shown, "user": visitor})


@lean
@allow("GET", "HEAD")
async def events(request: HttpRequest, topic: str) -> HttpResponseBase:
    """Server-Sent Events."""
    wanted = asked.parse(request.GET, Format.SSE, _header(request, "LAST_EVENT_ID"))
    return await _stream(request, topic, wanted)


@lean
@allow("GET", "HEAD")
async def stream(request: HttpRequest, topic: str) -> HttpResponseBase:
    """NDJSON, or lines of text."""
    form = asked.text_or_lines(request.GET)
    return await _stream(request, topic, asked.parse(request.GET, form, _header(request, "LAST_EVENT_ID")))


def _header(request: HttpRequest, name: str) -> str | None:
    """Not by `request.headers`, which makes a mapping of all of them: a thousand readers may come at once."""
    given: str | None = request.META.get(f"HTTP_{name}")
    return given


async def _stream(request: HttpRequest, topic: str, wanted: Asked) -> HttpResponseBase:
    known = await reading(request, topic)
    form, coding = wanted.want.form, _coding(request, known)
    response: HttpResponseBase
    if request.method == "HEAD":
        response = headers_only(form.value)
    else:
        body = await homeloop.run(join(known, wanted, coding))
        response = StreamResponse(body, form.value, Label("feed", topic), known.right)
    if coding is not None:
        response["Content-Encoding"] = coding.name
    patch_vary_headers(response, ["Accept-Encoding"])
    return _uncached(response, known.right)


def _coding(request: HttpRequest, topic: Reading) -> Coding | None:
    chosen = choose(_header(request, "ACCEPT_ENCODING"), list(CODINGS)) if topic.terms.compressed else None
    return CODINGS[chosen] if chosen is not None else None


async def join(topic: Reading, wanted: Asked, coding: Coding | None = None) -> FeedBody:
    """On the home loop. `coding`: how the body is compressed, which the response has to say. Raises Busy."""
    await begin()
    feed = await hub.opened(topic.name, topic.terms)
    return FeedBody(feed.join(wanted.want, wanted.after, coding))


async def begin() -> None:
    """Serve topics from now on, where nothing has said so before: servers without lifespan events."""
    if not hub.serves():
        await hub.serve()
        changes.begin()


def _uncached(response: HttpResponseBase, right: access.Right[Any]) -> HttpResponseBase:
    """nginx holds a stream back unless it is told, and a transforming proxy may not compress it into blocks."""
    response["Cache-Control"] = "no-cache" if right.visitor.pk is None else "private, no-cache"
    response["X-Accel-Buffering"] = "no"
    return response


@takes_body(MOST_BYTES)
@allow("POST")
async def publish(request: HttpRequest, topic: str) -> HttpResponseBase:
    """One event: the body is its data, as JSON, or as text where it is not; the query may name `event` and `key`."""
    known = await to_publish(request, topic)
    event = _event(await _body(request), request, known)
    await homeloop.run(begin())
    cursor = await hub.apublish(topic, event)
    return JsonResponse({"id": str(cursor)}, headers={"Cache-Control": "no-store"})


publish.csrf_exempt = True  # type: ignore[attr-defined]  # no browser sends the token by itself


async def _body(request: HttpRequest) -> bytes:
    """As it comes on the short road; elsewhere Django has read it."""
    pieces: Any = getattr(request, "pieces", None)
    return b"".join([piece async for piece in pieces]) if pieces is not None else request.body


def _event(body: bytes, request: HttpRequest, topic: KnownTopic) -> Event:
    """Raises BadInput."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise BadInput("An event is UTF-8.") from None
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        data = text
    key = request.GET.get("key") or key_of(data, topic.key_field)
    return Event(data, request.GET.get("event") or UNNAMED, key)


urlpatterns = [
    path("", page, name="feeds"),
    path("<str:topic>/events", events, name="events"),
    path("<str:topic>/stream", stream, name="stream"),
    path("<str:topic>/publish", publish, name="publish"),
]

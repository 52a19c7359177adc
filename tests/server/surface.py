"""A surface of a few views for the real handler: a file that may be granted, and what stands beside it."""

import asyncio
import json
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import path

from mediastream.bodies import Body
from mediastream.errors import NoRight
from mediastream.faults import allow
from mediastream.lean import LeanRequest, lean, takes_body
from mediastream.responses import StreamResponse, file_response
from mediastream.streams import Label
from mediastream.visitors import NOBODY, Visitor

MOST_BODY = 100_000  # bytes that /taking takes


@dataclass
class Right:
    """What access.Right is to who sends: `held` until it is taken away, `same` until its rows change."""

    held: bool = True
    same: bool = True
    visitor: Visitor = NOBODY

    def check(self) -> None: ...

    def give_ticket(self, request: HttpRequest, response: HttpResponseBase) -> None: ...

    def holds(self) -> bool:
        return self.held

    def unchanged(self) -> bool:
        return self.same


@dataclass
class State:
    """`path` is what /file gives, by `right`; `asked` counts how often its view was called; `waiting`: calls of views
    that wait; `closed`: bodies that were; `pieces`: of a body that /taking took."""

    path: Path = Path()
    right: Right = field(default_factory=Right)
    asked: int = 0
    waiting: int = 0
    closed: int = 0
    pieces: list[bytes] = field(default_factory=list)


state = State()


@lean
@allow("GET", "HEAD")
async def file(request: HttpRequest) -> HttpResponseBase:
    state.asked += 1
    response = await file_response(
        request,
        state.path,
        identity="stored",
        content_type="video/mp4",
        cache_control="public, max-age=300",
        label=Label("test", "1"),
        right=state.right,  # type: ignore[arg-type]
        filename="A film.mp4",
    )
    if "cookie" in request.GET:
        response.set_cookie("ticket", "x")
    return response


@lean
@allow("GET", "HEAD", "POST")
async def small(request: HttpRequest) -> HttpResponseBase:
    await asyncio.sleep(0)
    return HttpResponse(b"small " + str(request.GET.get("n", "")).encode(), headers={"Content-Length": "6"})


@lean
async def failing(request: HttpRequest) -> HttpResponseBase:
    raise ValueError("broken on purpose")


class Dots(Body):
    """`count` times a dot, and then `end`, which may raise."""

    def __init__(self, count: int, end: Exception | None = None) -> None:
        self.count, self.end = count, end

    async def __anext__(self) -> bytes:
        await asyncio.sleep(0)
        if self.count == 0:
            raise self.end or StopAsyncIteration
        self.count -= 1
        return b"."

    async def aclose(self) -> None:
        await asyncio.sleep(0)
        state.closed += 1


def dots(count: int, end: Exception | None = None) -> StreamResponse:
    return StreamResponse(Dots(count, end), "text/plain", Label("test", "dots"))


@lean
async def broken(request: HttpRequest) -> HttpResponseBase:
    """A body that fails as nobody foresaw."""
    return dots(5, ValueError("broken on purpose"))


@lean
async def abandoned(request: HttpRequest) -> HttpResponseBase:
    """Made a stream, and answers otherwise."""
    dots(5)
    return HttpResponse(b"otherwise", headers={"Content-Length": "9"})


async def wait() -> HttpResponseBase:
    state.waiting += 1
    try:
        await asyncio.sleep(60)
    finally:
        state.waiting -= 1
    return HttpResponse()


@lean
async def waiting(request: HttpRequest) -> HttpResponseBase:
    return await wait()


async def waiting_page(request: HttpRequest) -> HttpResponseBase:
    return await wait()


@takes_body(MOST_BODY)
async def taking(request: HttpRequest) -> HttpResponseBase:
    """The sizes of the pieces that came."""
    assert isinstance(request, LeanRequest)
    state.waiting += 1
    try:
        async for piece in request.pieces:
            state.pieces.append(piece)
    finally:
        state.waiting -= 1
    text = json.dumps([len(piece) for piece in state.pieces]).encode()
    return HttpResponse(text, headers={"Content-Length": str(len(text))})


@takes_body(MOST_BODY)
async def refusing(request: HttpRequest) -> HttpResponseBase:
    raise NoRight


_noted: ContextVar[str] = ContextVar("noted", default="nothing")


async def noting_page(request: HttpRequest) -> HttpResponseBase:
    """Says what was noted before in what it takes for a context of its own."""
    before = _noted.get()
    _noted.set("something")
    return HttpResponse(before.encode(), headers={"Content-Length": str(len(before))})


handler404 = "mediastream.faults.not_found"
handler500 = "mediastream.faults.server_error"
urlpatterns: list[Any] = [
    path("file", file),
    path("small", small),
    path("failing", failing),
    path("broken", broken),
    path("abandoned", abandoned),
    path("waiting", waiting),
    path("waiting-page", waiting_page),
    path("noting-page", noting_page),
    path("taking", taking),
    path("refusing", refusing),
]

"""Django's ASGI handler with three things done differently, each for streams.

- A request body is bounded before it is read (receiving.py).
- The request's thread ends when its view has answered (request_threads.py), not with the stream.
- Some views are reached by a short road (lean.py), and what answers leaves by delivery.py.

A client that leaves ends what was done for it. Our worker cancels the request's task then; under another
server somebody has to listen for it.
"""

import asyncio
import io
from collections.abc import Awaitable
from contextlib import suppress
from typing import IO, Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.core import signals
from django.core.cache import close_caches
from django.core.handlers.asgi import ASGIHandler, get_script_prefix
from django.core.handlers.base import reset_urlconf
from django.db import close_old_connections, reset_queries
from django.http import HttpResponseBadRequest, HttpResponseBase
from django.urls import ResolverMatch, set_script_prefix

from mediastream import homeloop, watch
from mediastream.delivery import CONNECTION, Receive, Scope, Send, deliver, send_page
from mediastream.errors import BadInput, Fault, RequestStalled
from mediastream.faults import fault_response
from mediastream.lean import LeanRequest, lean_match, lean_response
from mediastream.receiving import (
    Disconnected,
    ReceivedPieces,
    check_target,
    close_body,
    declares_body,
    drop_rest,
    receive_body,
)
from mediastream.request_bodies import Bounds
from mediastream.request_threads import lean_threads, request_thread
from mediastream.responses import StreamResponse, stream_responses


class MediaHandler(ASGIHandler):
    """The HTTP application. Make one for each process, after django.setup()."""

    def __init__(self) -> None:
        super().__init__()
        leave_connections_to_request_threads()
        self._bounds: Bounds = settings.REQUEST_BODY_BOUNDS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        homeloop.adopt()
        watch.begin()
        try:
            scope = check_target(scope)
            match = lean_match(scope)
            if match is None:
                await self._page(scope, receive, send)
            else:
                await self._lean(match, scope, receive, send)
        except Disconnected:
            return
        except Fault as fault:
            await self._refuse(fault, scope, receive, send)

    async def _refuse(self, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer without having read the body, and end the connection."""
        accept = dict(scope["headers"]).get(b"accept", b"").decode("latin-1")
        response = fault_response(fault, accept)
        response["Connection"] = "close"
        await send_page(response, scope, send)
        await self._leave_body(scope, receive, stalled=isinstance(fault, RequestStalled))

    async def _leave_body(self, scope: Scope, receive: Receive, *, stalled: bool) -> None:
        """End the connection of a request that was answered without having been read."""
        if not stalled:
            await drop_rest(scope, receive)
        connection = scope.get("extensions", {}).get(CONNECTION)
        if connection is not None:
            connection.close()

    async def _page(self, scope: Scope, receive: Receive, send: Send) -> None:
        """In a task of its own, and so with context variables of its own: what Django, its middlewares and apps note
        in them is of one request, and the connection's task serves many, behind a proxy those of many people."""
        body, scope = await receive_body(scope, receive, self._bounds)
        try:
            answering = self._answer(None, scope, body, send)
            await asyncio.create_task(self._while_connected(answering, scope, receive))
        finally:
            await close_body(body)

    async def _lean(self, match: ResolverMatch, scope: Scope, receive: Receive, send: Send) -> None:
        if hasattr(match.func, "most_body"):
            await self._lean_with_body(match, scope, receive, send)
            return
        if declares_body(scope):
            await self._drop_body(scope, receive)
            if scope["method"] in ("GET", "HEAD"):  # with another method the view says so
                await send_page(fault_response(BadInput("This address takes no request body."), ""), scope, send)
                return
        await self._while_connected(self._answer(match, scope, io.BytesIO(), send), scope, receive)

    async def _lean_with_body(self, match: ResolverMatch, scope: Scope, receive: Receive, send: Send) -> None:
        """The view reads itself, and so learns of a client that leaves. What it has left unread would be taken for the
        next request."""
        pieces = ReceivedPieces(scope, receive, match.func.most_body)  # type: ignore[attr-defined]
        await self._answer(match, scope, io.BytesIO(), send, pieces)
        if not pieces.whole:
            await self._leave_body(scope, receive, stalled=pieces.stalled)

    async def _drop_body(self, scope: Scope, receive: Receive) -> None:
        """Read it, in its bounds: what is left of it would be taken for the next request."""
        body, _ = await receive_body(scope, receive, self._bounds)
        await close_body(body)

    async def _while_connected(self, work: Any, scope: Scope, receive: Receive) -> None:
        if CONNECTION in scope.get("extensions", {}):
            await work
        else:
            await _race(work, receive)

    async def _answer(
        self,
        match: ResolverMatch | None,
        scope: Scope,
        body: IO[bytes],
        send: Send,
        pieces: ReceivedPieces | None = None,
    ) -> None:
        with stream_responses() as made:
            response: HttpResponseBase | None = None
            try:
                set_script_prefix(get_script_prefix(scope))
                await signals.request_started.asend(sender=self.__class__, scope=scope)
                if match is None:
                    response = await self._page_view(scope, body)
                else:
                    response = await self._lean_view(match, scope, body, pieces)
                await deliver(response, scope, send)
            finally:
                await _finish(response, made)

    async def _page_view(self, scope: Scope, body: IO[bytes]) -> HttpResponseBase:
        request, refusal = self.create_request(scope, body)
        if request is None:
            return refusal or HttpResponseBadRequest()
        async with request_thread():
            return await self.run_get_response(request)

    async def _lean_view(
        self, match: ResolverMatch, scope: Scope, body: IO[bytes], pieces: ReceivedPieces | None
    ) -> HttpResponseBase:
        try:
            request = LeanRequest(scope, body)
        except UnicodeDecodeError:
            return fault_response(BadInput("The address is not UTF-8."), "")
        if pieces is not None:
            request.pieces = pieces
        with lean_threads():
            response = await lean_response(request, match)
        if pieces is not None and not pieces.whole:
            response["Connection"] = "close"
        response._handler_class = self.__class__  # type: ignore[attr-defined]
        response._resource_closers.append(request.close)  # type: ignore[attr-defined]
        return response


async def _race(work: Awaitable[None], receive: Receive) -> None:
    """Await `work`, and cancel it if the client leaves first."""
    working = asyncio.ensure_future(work)
    listening = asyncio.ensure_future(_disconnected(receive))
    try:
        await asyncio.wait({working, listening}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        working.cancel()
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        with suppress(asyncio.CancelledError):
            await working


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _finish(response: HttpResponseBase | None, made: list[StreamResponse]) -> None:
    """Close the response, and every stream that was made on the way to it, even if cancelled meanwhile."""
    closing = _close(response, made)
    at_once = not signals.request_finished.has_listeners(MediaHandler)
    if at_once and all(stream.body.closes_at_once for stream in made):
        await closing  # nothing in it suspends, so that nothing can cancel it
    else:
        await asyncio.shield(asyncio.ensure_future(closing))


async def _close(response: HttpResponseBase | None, made: list[StreamResponse]) -> None:
    """Bodies first, those of responses that nobody was given too; then Django's own closing, which sends
    request_finished. It is sent once, as Django does: a request that was cancelled has no response to close."""
    for stream in made:
        await stream.aclose()
    if not signals.request_finished.has_listeners(MediaHandler):
        if response is not None:
            response.close()
    elif response is not None:
        await sync_to_async(response.close)()
    else:
        await signals.request_finished.asend(sender=MediaHandler)


def leave_connections_to_request_threads() -> None:
    """Django's own receivers look after connections and caches in the thread that sends the signal, which
    here is none that has any (request_threads.py), and would cost each request two hops. The one that forgets
    the request's URLconf has nothing to forget: a page's is set in context variables that end with its task."""
    signals.request_started.disconnect(reset_queries)
    signals.request_started.disconnect(close_old_connections)
    signals.request_finished.disconnect(close_old_connections)
    signals.request_finished.disconnect(close_caches)
    signals.request_finished.disconnect(reset_urlconf)

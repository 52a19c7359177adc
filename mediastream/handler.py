"""Django's ASGI handler with three things done differently, each for streams.

- A request body is bounded before it is read (receiving.py).
- The request's thread ends when its view has answered (request_threads.py), not with the stream.
- Bodies are closed by their sender, deterministically, and a failed one cuts the connection.

HEAD is answered by its headers: no body is iterated for it.
"""

import asyncio
import logging
from collections.abc import AsyncIterable, Awaitable, Callable
from contextlib import aclosing, suppress
from typing import IO, Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.core import signals
from django.core.cache import close_caches
from django.core.handlers.asgi import ASGIHandler, get_script_prefix
from django.db import close_old_connections, reset_queries
from django.http import HttpResponseBadRequest, HttpResponseBase
from django.urls import set_script_prefix

from mediastream import homeloop
from mediastream.bodies import FileBody
from mediastream.errors import Fault, RequestStalled, StreamCut
from mediastream.faults import fault_response
from mediastream.lean import lean_match, lean_response
from mediastream.receiving import Disconnected, check_target, close_body, drop_rest, receive_body
from mediastream.request_bodies import Bounds
from mediastream.request_threads import request_thread, shared_threads
from mediastream.responses import StreamResponse, stream_responses

logger = logging.getLogger(__name__)

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

PAGE_PATIENCE = 60.0  # seconds for one piece of a page
ZERO_COPY = "http.response.zerocopysend"  # the ASGI extension
CONNECTION = "mediastream.connection"  # our worker's ASGI extension, see server/connection.py


class MediaHandler(ASGIHandler):
    """The HTTP application. Make one for each process, after django.setup()."""

    def __init__(self) -> None:
        super().__init__()
        leave_connections_to_request_threads()
        self._bounds: Bounds = settings.REQUEST_BODY_BOUNDS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        homeloop.adopt()
        try:
            scope = check_target(scope)
            body, scope = await receive_body(scope, receive, self._bounds)
        except Disconnected:
            return
        except Fault as fault:
            await self._refuse(fault, scope, receive, send)
            return
        try:
            await self._race(self._answer(scope, body, send), receive)
        finally:
            await close_body(body)

    async def _refuse(self, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer without having read the body, and end the connection."""
        accept = dict(scope["headers"]).get(b"accept", b"").decode("latin-1")
        response = fault_response(fault, accept)
        response["Connection"] = "close"
        await self._send_page(response, scope, send)
        if not isinstance(fault, RequestStalled):
            await drop_rest(scope, receive)
        connection = scope.get("extensions", {}).get(CONNECTION)
        if connection is not None:
            connection.close()

    async def _race(self, work: Awaitable[None], receive: Receive) -> None:
        """Await `work`, and cancel it if the client leaves first."""
        working = asyncio.ensure_future(work)
        listening = asyncio.ensure_future(receive())
        try:
            await asyncio.wait({working, listening}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            working.cancel()
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
            with suppress(asyncio.CancelledError):
                await working

    async def _answer(self, scope: Scope, body: IO[bytes], send: Send) -> None:
        with stream_responses() as made:
            response: HttpResponseBase | None = None
            try:
                response = await self._view(scope, body)
                if isinstance(response, StreamResponse) and scope["method"] != "HEAD":
                    await self._send_stream(response, scope, send)
                else:
                    await self._send_page(response, scope, send)
            finally:
                await _finish(response, made)

    async def _view(self, scope: Scope, body: IO[bytes]) -> HttpResponseBase:
        set_script_prefix(get_script_prefix(scope))
        await signals.request_started.asend(sender=self.__class__, scope=scope)
        request, refusal = self.create_request(scope, body)
        if request is None:
            return refusal or HttpResponseBadRequest()
        match = lean_match(request)
        if match is None:
            async with request_thread():
                return await self.run_get_response(request)
        async with shared_threads():
            response = await lean_response(request, match)
        response._handler_class = self.__class__  # type: ignore[attr-defined]
        response._resource_closers.append(request.close)  # type: ignore[attr-defined]
        return response

    async def _send_page(self, response: HttpResponseBase, scope: Scope, send: Send) -> None:
        async with asyncio.timeout(PAGE_PATIENCE):
            await send(_start(response))
            if scope["method"] == "HEAD":
                await send({"type": "http.response.body"})
            elif response.streaming:
                await self._send_parts(response, send)  # type: ignore[arg-type]
            else:
                await send({"type": "http.response.body", "body": response.content})  # type: ignore[attr-defined]

    async def _send_parts(self, response: AsyncIterable[bytes], send: Send) -> None:
        """A streaming response that is not ours: some app's own."""
        async with aclosing(aiter(response)) as parts:  # type: ignore[type-var]
            async for part in parts:
                await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body"})

    async def _send_stream(self, response: StreamResponse, scope: Scope, send: Send) -> None:
        """Pull the body as fast as the client takes it; cut the connection if the body cannot go on.

        Our worker watches the socket for progress (decision 14); under other servers the best that can
        be had is a deadline on each chunk.
        """
        patience = response.body.patience
        connection = scope.get("extensions", {}).get(CONNECTION)
        if connection is not None:
            connection.patience = patience
        try:
            await send(_start(response))
            if isinstance(response.body, FileBody) and ZERO_COPY in scope.get("extensions", {}):
                await self._send_pieces(response.body, send)
            async for chunk in response.body:
                async with asyncio.timeout(None if connection else patience):
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body"})
        except (StreamCut, TimeoutError) as cut:
            logger.warning("%s cut: %s", scope["path"], cut or "the client took no byte in time")
            if connection is None:
                raise
            await connection.cut()

    async def _send_pieces(self, body: FileBody, send: Send) -> None:
        """A file by zero copy: its spans by name, the framing between them as bytes."""
        for piece in body.take():
            if isinstance(piece, bytes):
                message: dict[str, Any] = {"type": "http.response.body", "body": piece}
            else:
                message = {"type": ZERO_COPY, "file": body.fd, "offset": piece.start, "count": piece.length}
            await send({**message, "more_body": True})


def _start(response: HttpResponseBase) -> dict[str, Any]:
    headers = [(name.encode("ascii"), value.encode("latin-1")) for name, value in response.items()]
    headers += [(b"Set-Cookie", morsel.OutputString().encode("ascii")) for morsel in response.cookies.values()]
    return {"type": "http.response.start", "status": response.status_code, "headers": headers}


async def _finish(response: HttpResponseBase | None, made: list[StreamResponse]) -> None:
    """Close the response, and every stream that was made on the way to it, even if cancelled meanwhile."""
    await asyncio.shield(asyncio.ensure_future(_close(response, made)))


async def _close(response: HttpResponseBase | None, made: list[StreamResponse]) -> None:
    """Bodies first, then Django's own closing, which sends request_finished to synchronous receivers."""
    for stream in made:
        await stream.aclose()
    for closing in {*made, *([response] if response is not None else [])}:
        if signals.request_finished.has_listeners(MediaHandler):
            await sync_to_async(closing.close)()
        else:
            closing.close()


def leave_connections_to_request_threads() -> None:
    """Django's own receivers look after connections and caches in the thread that sends the signal, which
    here is none that has any (request_threads.py), and would cost each request two hops."""
    signals.request_started.disconnect(reset_queries)
    signals.request_started.disconnect(close_old_connections)
    signals.request_finished.disconnect(close_old_connections)
    signals.request_finished.disconnect(close_caches)

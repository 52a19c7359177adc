"""Django's ASGI handler with three things done differently, each for streams.

- A request body is bounded before it is read (request_bodies.py), and spooled under the data folder.
- The request's thread ends when its view has answered (request_threads.py), not with the stream.
- Bodies are closed by their sender, deterministically, and a failed one cuts the connection.

HEAD is answered by its headers: no body is iterated for it.
"""

import asyncio
import logging
import tempfile
from collections.abc import AsyncIterable, Awaitable, Callable
from contextlib import aclosing, suppress
from importlib import import_module
from io import BytesIO
from typing import IO, Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth import aget_user
from django.core import signals
from django.core.handlers.asgi import ASGIHandler, ASGIRequest, get_script_prefix
from django.http import HttpResponseBadRequest, HttpResponseBase
from django.urls import set_script_prefix

from mediastream import homeloop
from mediastream.access import UPLOAD_PERMISSION
from mediastream.errors import DiskFull, Fault, StreamCut
from mediastream.faults import fault_response
from mediastream.request_bodies import SMALL_BODY, Bounds, content_length
from mediastream.request_threads import request_thread
from mediastream.responses import StreamResponse

logger = logging.getLogger(__name__)

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

BODY_PATIENCE = 60.0  # seconds between two pieces of a request body
PAGE_PATIENCE = 60.0  # seconds for one piece of a page
LINGER_SECONDS = 30.0  # a refused body is read and dropped for so long, so that its sender sees the answer
CONNECTION = "mediastream.connection"  # our worker's ASGI extension, see server/connection.py


class Disconnected(Exception):
    """The client left before it had sent its request."""


class MediaHandler(ASGIHandler):
    """The HTTP application. Make one for each process, after django.setup()."""

    def __init__(self) -> None:
        super().__init__()
        self._bounds: Bounds = settings.REQUEST_BODY_BOUNDS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        homeloop.adopt()
        try:
            body = await self._receive_body(scope, receive)
        except Disconnected:
            return
        except Fault as fault:
            await self._refuse(fault, scope, receive, send)
            return
        try:
            await self._race(self._answer(scope, body, send), receive)
        finally:
            body.close()

    # The request body.

    async def _receive_body(self, scope: Scope, receive: Receive) -> IO[bytes]:
        headers = dict(scope["headers"])
        declared = content_length(headers.get(b"content-length", b"").decode("latin-1"))
        path = scope["path"]
        may_upload = False
        if self._bounds.takes_uploads(path) and (declared > SMALL_BODY or b"transfer-encoding" in headers):
            may_upload = await _may_upload(scope)
        self._bounds.check(path, declared, may_upload=may_upload)
        self._bounds.check_room(declared)
        # O_TMPFILE where the file system has it: a kill -9 leaves nothing behind.
        body: IO[bytes] = tempfile.SpooledTemporaryFile(64 * 1024, dir=str(self._bounds.temporary))  # noqa: SIM115
        try:
            await self._spool(body, path, receive, may_upload=may_upload)
        except BaseException:
            body.close()
            raise
        return body

    async def _spool(self, body: IO[bytes], path: str, receive: Receive, *, may_upload: bool) -> None:
        received, more = 0, True
        while more:
            try:
                message = await asyncio.wait_for(receive(), BODY_PATIENCE)
            except TimeoutError:
                raise Disconnected from None
            if message["type"] == "http.disconnect":
                raise Disconnected
            piece, more = message.get("body", b""), message.get("more_body", False)
            received += len(piece)
            self._bounds.check(path, received, may_upload=may_upload)
            try:
                if received > SMALL_BODY:
                    await asyncio.to_thread(body.write, piece)
                else:
                    body.write(piece)
            except OSError as fault:
                raise DiskFull(f"The server could not keep your upload: {fault.strerror}.") from None
        body.seek(0)

    async def _refuse(self, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer without having read the body, then drop the rest of it for a while.

        Closing a socket with unread bytes resets it, and the reset can overtake the answer (RFC 9112
        section 9.6). Who asked to continue first has sent nothing yet and gets the answer alone.
        """
        headers = dict(scope["headers"])
        response = fault_response(fault, headers.get(b"accept", b"").decode("latin-1"))
        response["Connection"] = "close"
        await self._send_page(response, scope, send)
        if headers.get(b"expect", b"").lower() != b"100-continue":
            with suppress(TimeoutError):
                async with asyncio.timeout(LINGER_SECONDS):
                    while (message := await receive())["type"] != "http.disconnect" and message.get("more_body"):
                        pass
        connection = scope.get("extensions", {}).get(CONNECTION)
        if connection is not None:
            connection.close()

    # The answer.

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
        async with request_thread():
            response = await self._view(scope, body)
        try:
            if isinstance(response, StreamResponse) and scope["method"] != "HEAD":
                await self._send_stream(response, scope, send)
            else:
                await self._send_page(response, scope, send)
        finally:
            await _finish(response)

    async def _view(self, scope: Scope, body: IO[bytes]) -> HttpResponseBase:
        set_script_prefix(get_script_prefix(scope))
        await signals.request_started.asend(sender=self.__class__, scope=scope)
        request, refusal = self.create_request(scope, body)
        if request is None:
            return refusal or HttpResponseBadRequest()
        return await self.run_get_response(request)

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
            async for chunk in response.body:
                async with asyncio.timeout(None if connection else patience):
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body"})
        except (StreamCut, TimeoutError) as cut:
            logger.warning("%s cut: %s", scope["path"], cut or "the client took no byte in time")
            if connection is None:
                raise
            await connection.cut()


async def _may_upload(scope: Scope) -> bool:
    """Whether the session of a request that has not been read yet belongs to somebody who may upload."""
    request = ASGIRequest(scope, BytesIO())
    engine = import_module(settings.SESSION_ENGINE)
    request.session = engine.SessionStore(request.COOKIES.get(settings.SESSION_COOKIE_NAME))
    async with request_thread():
        user = await aget_user(request)
        return bool(await sync_to_async(user.has_perm)(UPLOAD_PERMISSION))


def _start(response: HttpResponseBase) -> dict[str, Any]:
    headers = [(name.encode("ascii"), value.encode("latin-1")) for name, value in response.items()]
    headers += [(b"Set-Cookie", morsel.OutputString().encode("ascii")) for morsel in response.cookies.values()]
    return {"type": "http.response.start", "status": response.status_code, "headers": headers}


async def _finish(response: HttpResponseBase) -> None:
    """Close the response whole, even if whoever waits for it is cancelled meanwhile."""
    await asyncio.shield(asyncio.ensure_future(_close(response)))


async def _close(response: HttpResponseBase) -> None:
    """The body first, then Django's own closing, which sends request_finished to synchronous receivers."""
    if isinstance(response, StreamResponse):
        await response.aclose()
    await sync_to_async(response.close)()

"""Receiving a request under ASGI: its target and its body, bounded (request_bodies.py) and spooled.

Django would spool any body to any address first. Here a body over its bound is refused before it is read,
one that comes too slowly is given up, and what is kept goes under the data folder.
"""

import asyncio
import tempfile
from contextlib import suppress
from typing import IO, Any, Self
from urllib.parse import urlsplit

from asgiref.sync import sync_to_async
from django.conf import settings
from django.http import parse_cookie

from mediastream.access import session_may_upload
from mediastream.errors import BadInput, BodyTooLarge, DiskFull, RequestStalled, system_fault
from mediastream.request_bodies import SMALL_BODY, Bounds, content_length
from mediastream.request_threads import request_thread

# Seconds between two pieces of a body. Below gunicorn's own `timeout`, which calls a silent client gone.
PATIENCE = 30.0
SLOWEST = 10_000  # bytes a second, on the whole: below it a body is an attack or will never be whole
IN_MEMORY = 64 * 1024  # bytes of a body kept in memory; more goes to disk
LOOK_AGAIN = 64 * 1024 * 1024  # bytes of a body of unknown length between two looks at the room on disk
LINGER = 30.0  # seconds a refused body is read and dropped, so that its sender sees the answer


class Disconnected(Exception):
    """The client left before it had sent its request."""


def check_target(scope: dict[str, Any]) -> dict[str, Any]:
    """The scope with its path in origin form. Raises BadInput for HTTP/1.1 without one Host (RFC 9112 section 3.2)."""
    hosts = sum(name == b"host" for name, _ in scope["headers"])
    if hosts > 1 or (hosts == 0 and scope["http_version"] == "1.1"):
        raise BadInput("A request needs one Host header.")
    if scope["path"].startswith(("http://", "https://")):  # absolute form, section 3.2.2
        scope = {**scope, "path": urlsplit(scope["path"]).path or "/"}
    return scope


async def receive_body(scope: dict[str, Any], receive: Any, bounds: Bounds) -> tuple[IO[bytes], dict[str, Any]]:
    """The whole body as a file to read, and the scope with its length. Raises a Fault, or Disconnected."""
    headers = dict(scope["headers"])
    declared = content_length(headers.get(b"content-length", b"").decode("latin-1"))
    path = scope["path"]
    may_upload = False
    if bounds.takes_uploads(path) and (declared > SMALL_BODY or b"transfer-encoding" in headers):
        may_upload = await _may_upload(headers)
    bounds.check(path, declared, may_upload=may_upload)
    if declared > SMALL_BODY:
        await asyncio.to_thread(bounds.check_room, declared)
    # O_TMPFILE where the file system has it: a kill -9 leaves nothing behind.
    body: IO[bytes] = tempfile.SpooledTemporaryFile(IN_MEMORY, dir=str(bounds.temporary))  # noqa: SIM115
    try:
        received = await _spool(body, receive, bounds, path, may_upload=may_upload)
    except BaseException:
        await close_body(body)
        raise
    if b"transfer-encoding" in headers:
        scope = {**scope, "headers": _with_length(scope["headers"], received)}
    return body, scope


async def _spool(body: IO[bytes], receive: Any, bounds: Bounds, path: str, *, may_upload: bool) -> int:
    """Bytes received."""
    started = asyncio.get_running_loop().time()
    received, looked, more = 0, 0, True
    while more:
        piece, more = await _piece(receive)
        received += len(piece)
        bounds.check(path, received, may_upload=may_upload)
        if asyncio.get_running_loop().time() - started > PATIENCE + received / SLOWEST:
            raise RequestStalled("The request's body came too slowly; send it again over a better connection.")
        if received - looked > LOOK_AGAIN:
            looked = received
            await asyncio.to_thread(bounds.check_room, LOOK_AGAIN)
        try:
            if received > IN_MEMORY:
                await asyncio.to_thread(body.write, piece)
            else:
                body.write(piece)
        except OSError as fault:
            raise system_fault(fault) or DiskFull(f"The server could not keep your upload: {fault.strerror}.") from None
    body.seek(0)
    return received


class ReceivedPieces:
    """The body as it comes, for who takes it. Raises BodyTooLarge past `most` bytes, RequestStalled, or Disconnected.

    `whole`: nothing of it is left to come; `stalled`: nothing of it may be hoped for.
    """

    def __init__(self, scope: dict[str, Any], receive: Any, most: int) -> None:
        self._declared = content_length(dict(scope["headers"]).get(b"content-length", b"").decode("latin-1"))
        self._receive = receive
        self._most = most
        self._received = 0
        self.whole = not declares_body(scope)
        self.stalled = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        while not self.whole:
            self._check(self._declared)
            try:
                piece, more = await _piece(self._receive)
            except RequestStalled:
                self.stalled = True
                raise
            self.whole = not more
            self._received += len(piece)
            self._check(self._received)
            if piece:
                return piece
        raise StopAsyncIteration

    def _check(self, size: int) -> None:
        if size > self._most:
            raise BodyTooLarge(f"The body is larger than the {self._most} bytes that this address takes.")


def declares_body(scope: dict[str, Any]) -> bool:
    """RFC 9112 section 6: a body is announced by one of two fields, whatever the method."""
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value.strip() != b"0")
        for name, value in scope["headers"]
    )


async def _piece(receive: Any) -> tuple[bytes, bool]:
    try:
        message = await asyncio.wait_for(receive(), PATIENCE)
    except TimeoutError:
        raise RequestStalled(f"No byte of the request's body came for {PATIENCE:g} seconds; send it again.") from None
    if message["type"] == "http.disconnect":
        raise Disconnected
    return message.get("body", b""), message.get("more_body", False)


def _with_length(headers: Any, received: int) -> list[tuple[bytes, bytes]]:
    """Django's multipart parser takes a body without Content-Length for an empty one."""
    kept = [(name, value) for name, value in headers if name not in (b"transfer-encoding", b"content-length")]
    return [*kept, (b"content-length", b"%d" % received)]


async def drop_rest(scope: dict[str, Any], receive: Any) -> None:
    """Read on for a while after a refusal. Closing a socket with unread bytes resets it, and the reset can
    overtake the answer (RFC 9112 section 9.6). Who asked to continue first has sent nothing yet."""
    if dict(scope["headers"]).get(b"expect", b"").lower() == b"100-continue":
        return
    with suppress(TimeoutError):
        async with asyncio.timeout(LINGER):
            while (message := await receive())["type"] != "http.disconnect" and message.get("more_body"):
                pass


async def close_body(body: IO[bytes]) -> None:
    """Giving back gigabytes of a file takes the file system a while: not on the loop."""
    if getattr(body, "_rolled", True):
        await asyncio.to_thread(body.close)
    else:
        body.close()


async def _may_upload(headers: dict[bytes, bytes]) -> bool:
    """Whether the session of a request that has not been read yet belongs to somebody who may upload."""
    cookies = parse_cookie(headers.get(b"cookie", b"").decode("latin-1"))
    async with request_thread():
        return await sync_to_async(session_may_upload)(cookies.get(settings.SESSION_COOKIE_NAME))

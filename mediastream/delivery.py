"""How a response leaves under ASGI.

Bodies are closed by the handler that asked for this, deterministically, and a failed one cuts the
connection. HEAD is answered by its headers: no body is iterated for it.

Our worker hands over the connection itself as an ASGI extension (server/connection.py): it watches for
clients that take no byte, sends files and what children say without reading it, and takes grants
(grants.py). Under other servers the best that can be had is a deadline on each chunk.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterable, Awaitable, Callable
from contextlib import aclosing, closing
from typing import Any

from django.core import signals
from django.http import HttpResponseBase

from mediastream import streams
from mediastream.bodies import FileBody, ProcessBody
from mediastream.broadcast import BroadcastBody
from mediastream.errors import StreamCut
from mediastream.grants import LIFE, Grant
from mediastream.patience import Patience
from mediastream.responses import StreamResponse
from mediastream.sendsink import SendSink

logger = logging.getLogger(__name__)

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

PAGE_PATIENCE = 60.0  # seconds for one piece of a page
ZERO_COPY = "http.response.zerocopysend"  # the ASGI extension
CONNECTION = "mediastream.connection"  # our worker's ASGI extension


async def deliver(response: HttpResponseBase, scope: Scope, send: Send) -> None:
    if isinstance(response, StreamResponse) and scope["method"] != "HEAD":
        await _send_stream(response, scope, send)
    else:
        await send_page(response, scope, send)


async def send_page(response: HttpResponseBase, scope: Scope, send: Send) -> None:
    empty = scope["method"] == "HEAD" or response.status_code == 304
    if response.streaming and not empty:
        await _send_parts(response, send)  # type: ignore[arg-type]
        return
    body = b"" if empty else response.content  # type: ignore[attr-defined]
    async with asyncio.timeout(PAGE_PATIENCE):
        await send(_start(response))
        await send({"type": "http.response.body", "body": body})


async def _send_parts(response: AsyncIterable[bytes], send: Send) -> None:
    """A streaming response that is not ours: some app's own."""
    await send(_start(response))  # type: ignore[arg-type]
    async with aclosing(aiter(response)) as parts:  # type: ignore[type-var]
        async for part in parts:
            async with asyncio.timeout(PAGE_PATIENCE):
                await send(_chunk(part))
    await send({"type": "http.response.body"})


async def _send_stream(response: StreamResponse, scope: Scope, send: Send) -> None:
    """Pull the body as fast as the client takes it; cut the connection if the body cannot go on."""
    connection = scope.get("extensions", {}).get(CONNECTION)
    task = asyncio.current_task()
    assert task is not None
    stream = streams.opened(response.stream(task.cancel), brief=response.brief)
    if connection is not None:
        connection.patience, connection.graced = response.body.patience, response.body.graced
        connection.stream = stream
    try:
        await send(_start(response))
        await _send_body(response, scope, send, stream)
        await send({"type": "http.response.body"})
    except (StreamCut, TimeoutError) as cut:
        stream.reason = streams.CUT
        logger.warning("%s cut: %s", scope["path"], cut or "the client took no byte in time")
        if connection is None:
            raise
        await connection.cut()
    except asyncio.CancelledError:
        if stream.reason == streams.REVOKED and connection is not None:
            task.uncancel()
            await connection.cut(take_back=True)
            return
        if stream.reason == streams.COMPLETE:
            stream.reason = streams.LEFT
        raise
    except Exception:
        stream.reason = streams.CUT
        raise
    finally:
        streams.closed(stream)
        if connection is not None:
            connection.stream = None


async def _send_body(response: StreamResponse, scope: Scope, send: Send, stream: streams.Stream) -> None:
    extensions = scope.get("extensions", {})
    if isinstance(response.body, FileBody) and ZERO_COPY in extensions:
        _grant(response, response.body, extensions.get(CONNECTION))
        await _send_pieces(response.body, send, stream)
    if isinstance(response.body, ProcessBody):
        await _splice(response.body, send, stream, extensions.get(CONNECTION))
    if isinstance(response.body, BroadcastBody):
        await _broadcast(response.body, send, stream, extensions.get(CONNECTION))
    patience = None if CONNECTION in extensions else response.body.patience
    with closing(Patience(patience)) as patient:
        async for chunk in response.body:
            with patient:
                await send(_chunk(chunk))
            stream.bytes += len(chunk)


async def _send_pieces(body: FileBody, send: Send, stream: streams.Stream) -> None:
    """A file by zero copy: its spans by name, the framing between them as bytes."""
    for piece in body.take():
        if isinstance(piece, bytes):
            await send(_chunk(piece))
            stream.bytes += len(piece)
        else:
            message = {"type": ZERO_COPY, "file": body.file.fd, "offset": piece.start, "count": piece.length}
            await send({**message, "counter": stream, "more_body": True})


async def _splice(body: ProcessBody, send: Send, stream: streams.Stream, connection: Any) -> None:
    """A child's output from its pipe to the socket, where both can be had. The first of it, which was read to see if
    any comes, takes the head along."""
    if connection is None or not connection.can_splice():
        return
    first = body.take_first()
    await send(_chunk(first))
    stream.bytes += len(first)
    await connection.splice(body.pipe, stream)
    await body.end()


async def _broadcast(body: BroadcastBody, send: Send, stream: streams.Stream, connection: Any) -> None:
    """The first chunk takes the head along; then the body's producer feeds the connection itself."""
    first = await anext(body, None)
    if first is None:
        return
    if connection is None:
        async with asyncio.timeout(body.patience):
            await send(_chunk(first))
    else:
        await send(_chunk(first))
    stream.bytes += len(first)
    if connection is None:
        await SendSink(lambda data: send(_chunk(data.plain)), stream, body.patience).feed(body)
    else:
        with connection.sink(stream) as sink:
            await body.broadcast(sink)


def _grant(response: StreamResponse, body: FileBody, connection: Any) -> None:
    """Let the worker answer the next ranges of this file. Receivers of Django's signals want each request."""
    if connection is None or not response.has_header("Content-Range") or response.cookies:
        return
    if signals.request_started.has_listeners() or signals.request_finished.has_listeners():
        return
    left_out = ("content-range", "content-length")
    lines = [f"{name}: {value}\r\n" for name, value in response.items() if name.lower() not in left_out]
    head = "".join(lines).encode("latin-1")
    right = response.right
    holds, unchanged, whose = (right.holds, right.unchanged, right.visitor.pk) if right is not None else (None,) * 3
    until = time.monotonic() + LIFE
    connection.remember(Grant(body.file.share(), head, response.label, holds, unchanged, until, whose))


def _chunk(data: bytes) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": True}


def _start(response: HttpResponseBase) -> dict[str, Any]:
    headers = [(name.encode("ascii"), value.encode("latin-1")) for name, value in response.items()]
    headers += [(b"Set-Cookie", morsel.OutputString().encode("ascii")) for morsel in response.cookies.values()]
    return {"type": "http.response.start", "status": response.status_code, "headers": headers}

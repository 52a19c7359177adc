"""gunicorn's protocol with the ASGI extension `http.response.zerocopysend` (zerocopy.py does the sending).

gunicorn's own `send` goes on to do the counting and framing: a file goes through it as a body of its length
(FileSlice), is kept back in `_send_body`, and goes out before `send` is told of anything after it. So
keep-alive, HEAD, pipelining, HTTP/1.0 and chunked framing are gunicorn's, with or without zero copy.

Relied on inside gunicorn (checked by tests/server/test_gunicorn.py): `_send_body` and its parameters, and the
attributes `transport`, `reader`, `_is_ssl`, `_closed`, `_response_buffer` and `_flow_control`.
"""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from gunicorn.asgi.protocol import HIGH_WATER_LIMIT, ASGIProtocol

from mediastream.chunking import Chunking
from mediastream.errors import StreamCut
from mediastream.server.zerocopy import Disconnected, FileSlice, SocketSender

if TYPE_CHECKING:
    from mediastream.server.worker import MediaWorker

ZERO_COPY = "http.response.zerocopysend"
Send = Callable[[dict[str, Any]], Awaitable[None]]


class FileSendingProtocol(ASGIProtocol):  # type: ignore[misc]
    """`handed`: bytes of bodies given to the transport or the kernel, ever."""

    def __init__(self, worker: "MediaWorker") -> None:
        super().__init__(worker)
        self._written = 0
        self._sender: SocketSender | None = None
        self._held: tuple[bytes, FileSlice, bytes] | None = None

    @property
    def handed(self) -> int:
        return self._written + (self._sender.sent if self._sender is not None else 0)

    def count(self, size: int) -> None:
        """That many bytes were given to the transport by somebody else."""
        self._written += size

    @property
    def can_send_files(self) -> bool:
        """TLS and HTTP/2 frame what they send, so there a file is read and sent like any body."""
        return not self._is_ssl and self.reader is None

    def sending(self, send: Send) -> Send:
        """`send` with the extension."""

        async def extended(message: dict[str, Any]) -> None:
            if message["type"] != ZERO_COPY:
                await send(message)
            elif not self._closed:
                await self._send_file(message, send)

        return extended

    def sender(self) -> SocketSender:
        """Made when first needed: it costs a descriptor. Raises OSError if none is left."""
        if self._sender is None:
            self._sender = SocketSender(self.transport.get_extra_info("socket"))
        return self._sender

    async def _send_file(self, message: dict[str, Any], send: Send) -> None:
        more = message.get("more_body", False)
        await send({"type": "http.response.body", "body": file_slice(message), "more_body": True})
        if self._held is not None:
            held, self._held = self._held, None
            await self._send_held(*held)
        if not more:
            await send({"type": "http.response.body"})

    def _send_body(self, body: Any, chunked: bool = False, last: bool = False, size: int | None = None) -> None:
        size = len(body) if size is None else size
        head: bytes = self._response_buffer or b""  # type: ignore[has-type]
        if not isinstance(body, FileSlice):
            self._written += len(head) + size
            super()._send_body(body, chunked, last, size)
            return
        self._response_buffer = None
        self._held = (head + (f"{size:x}\r\n".encode() if chunked else b""), body, b"\r\n" if chunked else b"")

    async def _send_held(self, head: bytes, part: FileSlice, tail: bytes) -> None:
        await self._flush()
        try:
            self.sender()
        except OSError:  # no descriptor is left for it
            await self._send_read(head, part, tail)
            return
        try:
            await self._transmit(head, part, tail)
        except Disconnected:
            self.transport.abort()

    async def _flush(self) -> None:
        """What the transport still holds goes first: with both marks at 0 it says when it is out."""
        if self.transport.get_write_buffer_size():
            self.transport.set_write_buffer_limits(high=0)
            await self._flow_control.drain()
            self.transport.set_write_buffer_limits(high=HIGH_WATER_LIMIT)

    async def _send_read(self, head: bytes, part: FileSlice, tail: bytes) -> None:
        """As by any server: the bytes read, and given to the transport."""
        self._safe_write(head)
        self.count(len(head))
        offset, end = part.offset, part.offset + part.count
        chunking = Chunking()
        while offset < end and not self._closed:
            size = min(chunking.asked(time.monotonic()), end - offset)
            read = self.worker.loop.run_in_executor(None, os.pread, part.fd, size, offset)
            try:
                chunk = await read
            except OSError as fault:
                raise StreamCut(f"the file cannot be read: {fault.strerror}") from None
            if not chunk:
                raise StreamCut(f"the file ends at byte {offset}, before its promised length")
            chunking.given(time.monotonic())
            self._safe_write(chunk)
            self.count(len(chunk))
            if part.counter is not None:
                part.counter.bytes += len(chunk)
            offset += len(chunk)
            await self._flow_control.drain()
        self._safe_write(tail)

    async def _transmit(self, head: bytes, part: FileSlice, tail: bytes) -> None:
        done = asyncio.get_running_loop().create_future()

        def ended(fault: Exception | None) -> None:
            if not done.done():
                done.set_exception(fault) if fault else done.set_result(None)

        sender = self.sender()
        sender.start(head, part, ended, tail)
        try:
            await done
        finally:
            sender.stop()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._sender is not None:
            self._sender.close()
        super().connection_lost(exc)


def file_slice(message: dict[str, Any]) -> FileSlice:
    """What the message asks for, its defaults filled in: from where the file stands, to its end."""
    fd = message["file"] if isinstance(message["file"], int) else message["file"].fileno()
    offset = message.get("offset")
    offset = os.lseek(fd, 0, os.SEEK_CUR) if offset is None else offset
    count = message.get("count")
    count = os.fstat(fd).st_size - offset if count is None else count
    return FileSlice(fd, offset, count, message.get("counter"))

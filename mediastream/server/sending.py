"""gunicorn's protocol with the ASGI extension `http.response.zerocopysend` (zerocopy.py does the sending).

gunicorn's own `send` goes on to do the counting and framing: a file goes through it as a body of its length
(FileSlice), is kept back in `_send_body`, and goes out before `send` is told of anything after it. So
keep-alive, HEAD, pipelining, HTTP/1.0 and chunked framing are gunicorn's, with or without zero copy.

Relied on inside gunicorn (checked by tests/server/test_gunicorn.py): `_send_body` and its parameters, and the
attributes `transport`, `reader`, `_is_ssl`, `_closed`, `_response_buffer` and `_flow_control`.
"""

import os
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from gunicorn.asgi.protocol import HIGH_WATER_LIMIT, ASGIProtocol

from mediastream.server.zerocopy import Disconnected, FileSlice, SocketSender

if TYPE_CHECKING:
    from mediastream.server.worker import MediaWorker

ZERO_COPY = "http.response.zerocopysend"
Send = Callable[[dict[str, Any]], Awaitable[None]]


class FileSendingProtocol(ASGIProtocol):  # type: ignore[misc]
    """`handed`: bytes of bodies given to the transport or the kernel, ever."""

    def __init__(self, worker: "MediaWorker") -> None:
        super().__init__(worker)
        self.handed = 0
        self._sender: SocketSender | None = None
        self._held: tuple[bytes, FileSlice, bytes] | None = None

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

    async def _send_file(self, message: dict[str, Any], send: Send) -> None:
        part = file_slice(message)
        await send({"type": "http.response.body", "body": part, "more_body": True})
        if self._held is not None:
            held, self._held = self._held, None
            await self._send_held(*held)
        if not message.get("more_body", False):
            await send({"type": "http.response.body"})

    def _send_body(self, body: Any, chunked: bool = False, last: bool = False, size: int | None = None) -> None:
        size = len(body) if size is None else size
        head: bytes = self._response_buffer or b""  # type: ignore[has-type]
        if not isinstance(body, FileSlice):
            self.handed += len(head) + size
            super()._send_body(body, chunked, last, size)
            return
        self._response_buffer = None
        self._held = (head + (f"{size:x}\r\n".encode() if chunked else b""), body, b"\r\n" if chunked else b"")

    async def _send_held(self, head: bytes, part: FileSlice, tail: bytes) -> None:
        if self.transport.get_write_buffer_size():
            # What the transport still holds goes first: with both marks at 0 it says when it is out.
            self.transport.set_write_buffer_limits(high=0)
            await self._flow_control.drain()
            self.transport.set_write_buffer_limits(high=HIGH_WATER_LIMIT)
        if self._sender is None:
            self._sender = SocketSender(self.transport.get_extra_info("socket").fileno(), self._count)
        try:
            await self._sender.send_head(head)
            await self._sender.send_file(part)
        except Disconnected:
            self.transport.abort()
            return
        if tail:
            self._safe_write(tail)

    def _count(self, taken: int) -> None:
        self.handed += taken

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
    return FileSlice(fd, offset, os.fstat(fd).st_size - offset if count is None else count)

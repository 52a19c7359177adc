"""One client connection of our worker: what gunicorn's protocol does, plus an eye on its progress.

The ASGI extension "mediastream.connection" hands the handler this object: `patience` says how long the
socket may take no byte, `cut` ends it at once.

Relied on inside gunicorn (checked by tests/server/test_gunicorn.py): ASGIProtocol's attributes `transport`,
`app`, `_closed`, `_conn_lost_handled`, `_awaiting_request` and `_close_transport`; the table `_REASON_PHRASES`.
"""

import asyncio
import fcntl
import struct
import termios
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from socket import SO_LINGER, SOL_SOCKET
from typing import TYPE_CHECKING, Any

from gunicorn.asgi.protocol import _REASON_PHRASES

from mediastream.server.sending import ZERO_COPY, FileSendingProtocol

if TYPE_CHECKING:
    from mediastream.server.worker import MediaWorker

# gunicorn's own table lacks some, and would say "416 Unknown".
for _status in HTTPStatus:
    _REASON_PHRASES.setdefault(_status.value, _status.phrase)

EXTENSION = "mediastream.connection"
PATIENCE = 60.0  # seconds, until a response asks for more
HEAD_PATIENCE = 30.0  # seconds a request may take to its last header; gunicorn bounds only the second and later
FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: 74\r\n"
    b"Retry-After: 5\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"
    b'{"error": "busy", "detail": "The server has as many clients as it takes."}'
)


class Connection(FileSendingProtocol):
    """Made by the worker for each accepted socket; the worker's set of them is how it finds the stalled."""

    def __init__(self, worker: "MediaWorker") -> None:
        super().__init__(worker)
        self._application: Callable[..., Awaitable[None]] = worker.asgi
        self.app = self._call
        self.patience = PATIENCE
        self._lost = asyncio.Event()
        self._refused = False
        self._waiting_since: float | None = None
        self._taken = 0  # bytes the client had acknowledged when last looked at
        self._taken_at = 0.0

    async def _call(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        self.patience = PATIENCE
        extensions = scope.setdefault("extensions", {})
        extensions[EXTENSION] = self
        if self.can_send_files:
            extensions[ZERO_COPY] = {}
            send = self.sending(send)
        await self._application(scope, receive, send)

    def connection_made(self, transport: asyncio.Transport) -> None:
        if len(self.worker.connections) >= self.worker.most_connections:
            self._refused = True
            transport.write(FULL)
            transport.close()
            return
        self.worker.connections.add(self)
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost.set()
        if not self._refused:
            self.worker.connections.discard(self)
            super().connection_lost(exc)

    async def cut(self) -> None:
        """End the connection now, unsent bytes dropped, so that the client sees a stream broken off."""
        request = self._current_request
        if request is not None and request.version < (1, 1):
            self.reset()  # to HTTP/1.0 a mere close is the end of the body
        self.transport.abort()
        # gunicorn would log the response as incomplete until it knows of the end, which it learns in a later turn.
        await self._lost.wait()

    def close(self) -> None:
        """End the connection once what was written has gone out."""
        self._close_transport()

    def close_if_idle(self) -> None:
        """Close a kept-alive connection that waits for its next request."""
        if self._awaiting_request:
            self.close()

    def abort_if_stalled(self, now: float) -> bool:
        """Abort if bytes wait and the client has taken none of them for `patience` seconds of `now`'s clock."""
        unsent = self._unsent()
        taken = self.handed - unsent
        if unsent == 0 or taken != self._taken:
            self._taken, self._taken_at = taken, now
            return False
        if now - self._taken_at < self.patience:
            return False
        self.reset()
        return True

    def close_if_mute(self, now: float) -> bool:
        """Close if a request has been waited for, or its headers, for HEAD_PATIENCE seconds."""
        if not self._awaiting_request:
            self._waiting_since = None
        elif self._waiting_since is None:
            self._waiting_since = now
        elif now - self._waiting_since >= HEAD_PATIENCE:
            self.close()
            return True
        return False

    def reset(self) -> None:
        """End the connection with a RST: a mere close leaves what is queued to the kernel, which goes on
        offering it to a client that has not taken a byte for a minute (SO_LINGER, socket(7))."""
        self.transport.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def _unsent(self) -> int:
        """Bytes the client has not acknowledged: in our buffer, and in the kernel's (SIOCOUTQ, tcp(7))."""
        if self.transport is None or (self.transport.is_closing() and self._closed and self._conn_lost_handled):
            return 0
        queued = 0
        socket = self.transport.get_extra_info("socket")
        if socket is not None:
            try:
                queued = struct.unpack("i", fcntl.ioctl(socket.fileno(), termios.TIOCOUTQ, b"\0" * 4))[0]
            except OSError:
                return 0
        return int(self.transport.get_write_buffer_size()) + queued

"""One client connection of our worker: what gunicorn's protocol does, plus an eye on its progress.

The ASGI extension "mediastream.connection" hands the handler this object: `patience` says how long the
socket may take no byte, `graced` whether it gets a download's grace when the server stops, `cut` ends it at once.

Relied on inside gunicorn (checked by tests/server/test_gunicorn.py): ASGIProtocol's attributes `transport`,
`app`, `_closed`, `_conn_lost_handled`, `_current_request`, `_keepalive`, `_websocket` (with its `closed` and
`transport`) and `_close_transport`; the table `_REASON_PHRASES`.
"""

import asyncio
import fcntl
import struct
import sys
import termios
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from socket import IPPROTO_TCP, SO_LINGER, SOL_SOCKET, TCP_INFO
from typing import TYPE_CHECKING, Any

from gunicorn.asgi.protocol import _REASON_PHRASES

from mediastream import streams
from mediastream.server.broadcasting import ConnectionSink, SocketSink
from mediastream.server.granted import GrantedProtocol
from mediastream.server.sending import ZERO_COPY, Send

if TYPE_CHECKING:
    from mediastream.server.worker import MediaWorker

# gunicorn's own table lacks some, and would say "416 Unknown".
for _status in HTTPStatus:
    _REASON_PHRASES.setdefault(_status.value, _status.phrase)

EXTENSION = "mediastream.connection"
PATIENCE = 60.0  # seconds, until a response asks for more
HEAD_PATIENCE = 30.0  # seconds a request may take to its last header, which gunicorn does not bound for the first
ENDING = 0.5  # seconds, when the server stops, for a stream's own end to go out and a first request to come in
BYTES_ACKED = slice(120, 128)  # where it lies in struct tcp_info of linux/tcp.h
FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: 74\r\n"
    b"Retry-After: 5\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"
    b'{"error": "busy", "detail": "The server has as many clients as it takes."}'
)


class Connection(GrantedProtocol):
    """Made by the worker for each accepted socket; the worker's set of them is how it finds the stalled."""

    def __init__(self, worker: "MediaWorker") -> None:
        super().__init__(worker)
        self._application: Callable[..., Awaitable[None]] = worker.asgi
        self.app = self._call
        self._lost = asyncio.Event()
        self._refused = False
        self._waits_for: tuple[int, bool] | None = None  # the next request, by how many there were, and all of it
        self._waiting_since = 0.0
        self._taken = 0  # bytes the client had acknowledged when last looked at
        self._taken_at = 0.0
        self.look_at = 0.0  # when the worker is to look again whether it has stalled

    async def _call(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        self.patience, self.graced = PATIENCE, True
        extensions = scope.setdefault("extensions", {})
        extensions[EXTENSION] = self
        if scope["type"] == "websocket":
            send = self._telling(send)
        elif self.can_send_files:
            extensions[ZERO_COPY] = {}
            send = self.sending(send)
        await self._application(scope, receive, send)

    def _telling(self, send: Send) -> Send:
        """A WebSocket's `send`, which raises OSError once the client has left, as ASGI has it since 2.4. uvloop's
        transport raises RuntimeError until gunicorn has heard of it."""

        async def telling(message: dict[str, Any]) -> None:
            try:
                await send(message)
            except RuntimeError:
                if not self.transport.is_closing():
                    raise
                raise ConnectionResetError("the client has left") from None

        return telling

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

    def sink(self, stream: streams.Stream) -> ConnectionSink:
        """For the response under way, whose head and first chunk have been sent."""
        return ConnectionSink(self, stream, chunked=self._current_request.version >= (1, 1))

    @property
    def websocket(self) -> Any:
        return self._websocket

    def socket_sink(self, stream: streams.Stream) -> SocketSink:
        """For a WebSocket that has been accepted."""
        return SocketSink(self, stream)

    async def cut(self, *, take_back: bool = False) -> None:
        """End the connection now, unsent bytes dropped, so that the client sees a stream broken off.

        `take_back`: those too that the kernel holds, which it would go on offering to a client that has paused.
        """
        request = self._current_request
        if take_back or (request is not None and request.version < (1, 1)):
            self.reset()  # to HTTP/1.0 a mere close is the end of the body
        self.transport.abort()
        # gunicorn would log the response as incomplete until it knows of the end, which it learns in a later turn.
        await self._lost.wait()

    def close(self) -> None:
        """End the connection once what was written has gone out."""
        self._close_transport()

    def wind_up(self, elapsed: float, grace: float) -> None:
        """What a stopping server does with it, `elapsed` seconds into the stop, downloads having `grace`.

        Kept alive and idle, it is closed: clients repeat a request that went into such an end. One that is
        new is waited for a moment, as its request may be on the way, and no client would repeat that.
        """
        if self.awaiting and not self._closed:
            if self.served or elapsed >= ENDING:
                self.close()
        elif elapsed >= (grace if self.graced else ENDING):
            self.transport.abort()

    def abort_if_stalled(self, now: float) -> bool:
        """Abort if bytes wait and the client has taken none of them for `patience` seconds of `now`'s clock."""
        unsent = self._unsent()
        taken = self._acknowledged(unsent) if unsent else 0
        if unsent == 0 or taken != self._taken:
            self._taken, self._taken_at = taken, now
            return False
        if now - self._taken_at < self.patience:
            return False
        if self.stream is not None:
            self.stream.reason = streams.STALLED
        self.reset()
        return True

    def close_if_mute(self, now: float) -> bool:
        """Close if all of the next request has been waited for as long as gunicorn keeps idle connections, or the
        first one or the rest of a head for HEAD_PATIENCE seconds.

        Looks are a second apart, and whole requests may lie between two of them.
        """
        idle = self.served > 0 and self._clean
        waits_for = (self.served, idle) if self.awaiting else None
        if waits_for is None or waits_for != self._waits_for:
            self._waits_for, self._waiting_since = waits_for, now
            return False
        if now - self._waiting_since < (self._keepalive if idle else HEAD_PATIENCE):
            return False
        self.close()
        return True

    def reset(self) -> None:
        """End the connection with a RST: a mere close leaves what is queued to the kernel, which goes on
        offering it to a client that has not taken a byte for a minute (SO_LINGER, socket(7))."""
        self.transport.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def _acknowledged(self, unsent: int) -> int:
        """Bytes the client has taken so far, by TCP's own count (tcp(7), TCP_INFO). A Unix socket has none: there it
        is what was handed over less what is `unsent`, in which what a WebSocket writes is missing."""
        socket = self.transport.get_extra_info("socket")
        try:
            counted = socket.getsockopt(IPPROTO_TCP, TCP_INFO, BYTES_ACKED.stop)[BYTES_ACKED]
        except OSError:
            counted = b""
        return int.from_bytes(counted, sys.byteorder) if counted else self.handed - unsent

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

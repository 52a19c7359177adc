"""Offering bytes to a connection without a task of its own, see mediastream/broadcast.py.

Bytes that all viewers share go straight to the socket, without a copy; the transport gets what the kernel did not take,
and all of it where there is TLS. What a slow viewer may hold is bounded twice: nothing is offered while the transport
still has bytes of before, and the kernel takes none while it holds about as much unsent as the last offer had
(TCP_NOTSENT_LOWAT, tcp(7)), so that at most two offers lie in our socket; what the client's own buffer holds is not
ours to bound. To have the kernel refuse is cheaper than to ask it each time (SIOCOUTQNSD).
"""

import asyncio
import os
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from mediastream.broadcast import Shared
from mediastream.crowd import ALIKE, TELL_EVERY
from mediastream.server import unsent
from mediastream.streams import Stream

if TYPE_CHECKING:
    from mediastream.server.connection import Connection

CLOSE = 0x8  # the opcode, RFC 6455 section 5.2


class ConnectionSink:
    """A context: the connection is as it was when it ends. `stream`: counts what goes out, as does the connection.

    `descriptor` is a duplicate, so that no descriptor of somebody else can have its number while it is written to;
    -1: there is none, and this is no direct sink.
    """

    __slots__ = (
        "_chunked",
        "_connection",
        "_fileno",
        "_largest",
        "_plain",
        "_smallest",
        "_socket",
        "_stream",
        "_told",
        "_transport",
        "_untold",
        "descriptor",
        "set_aside",
        "waiting",
    )  # fmt: skip

    def __init__(self, connection: "Connection", stream: Stream, *, chunked: bool) -> None:
        self.descriptor = -1
        self.set_aside: Callable[[int], None] | None = None
        self._connection = connection
        self._transport = connection.transport
        self._socket = connection.transport.get_extra_info("socket")
        self._fileno = self._socket.fileno()
        self._plain = connection.can_send_files
        self._stream = stream
        self._chunked = chunked
        self._smallest, self._largest = 1, 0  # offers that the kernel's bound suits
        self._untold = 0
        self._told = 0.0  # when
        self.waiting = True  # whether the transport may have bytes of before

    def __enter__(self) -> "ConnectionSink":
        if self._plain and self._alike:
            with suppress(OSError):  # none is left: then `offer` alone
                self.descriptor = os.dup(self._fileno)
        return self

    def __exit__(self, *_: object) -> None:
        self._tell()
        if self.descriptor >= 0:
            os.close(self.descriptor)
        if not self._transport.is_closing():
            unsent.allow(self._socket, unsent.USUAL)

    @property
    def direct(self) -> "ConnectionSink | None":
        return self if self.descriptor >= 0 else None

    @property
    def _alike(self) -> bool:
        """Whether it gets the same bytes as others of its kind. HTTP/1.0 has no chunks."""
        return self._chunked

    def offer(self, data: Shared) -> bool:
        if self._transport.is_closing() or (self.waiting and self._waits()):
            return False
        text = self._text(data)
        size = len(text)
        if not self._smallest <= size <= self._largest:
            self.suit(size)
        try:
            sent = os.write(self._fileno, text) if self._plain else 0
        except OSError:  # full, or broken, which the transport hears of by itself
            return False
        if sent < size:
            self._send(text, sent)
        self._untold += size
        if (now := time.monotonic()) - self._told >= TELL_EVERY:
            self._told = now
            self._tell()
        return True

    def _waits(self) -> bool:
        self.waiting = self._transport.get_write_buffer_size() > 0
        return self.waiting

    def _text(self, data: Shared) -> bytes:
        return data.chunk if self._chunked else data.plain

    def rest(self, data: Shared, sent: int) -> None:
        text = self._text(data)
        self.count(len(text))
        if not self._transport.is_closing():
            self._send(text, sent)

    def push(self, data: bytes) -> None:
        """Send it whatever waits before it."""
        if not self._transport.is_closing():
            self._send(data, 0)
            self._untold += len(data)

    def _send(self, text: bytes, start: int) -> None:
        self.waiting = True
        self._transport.write(memoryview(text)[start:])

    def suit(self, size: int) -> None:
        """The bound is a power of two, and no more than the size, so that offers which differ a little share it."""
        bound = max(1 << size.bit_length() - 1, ALIKE)
        if self._largest == 4 * bound - 1:
            return
        self._smallest, self._largest = (bound if bound > ALIKE else 0), 4 * bound - 1
        if not self._transport.is_closing():
            unsent.allow(self._socket, bound)

    def count(self, size: int) -> None:
        self._untold += size
        self._tell()

    def _tell(self) -> None:
        self._connection.count(self._untold)
        self._stream.bytes += self._untold
        self._untold = 0


class SocketSink(ConnectionSink):
    """A WebSocket's, for whole frames: none may come after the one by which either side has closed it, and none amid
    another. Those of gunicorn, which answers pings and closes, pass through here (RFC 6455 section 5.5)."""

    __slots__ = ("_closed", "_messages")

    def __init__(self, connection: "Connection", stream: Stream) -> None:
        super().__init__(connection, stream, chunked=False)
        self._messages = connection.websocket
        self._closed = self._messages.closed

    def __enter__(self) -> "SocketSink":
        super().__enter__()
        self._messages.transport = ControlFrames(self._transport, self._before)
        return self

    def __exit__(self, *fault: object) -> None:
        self._messages.transport = self._transport
        super().__exit__(*fault)

    @property
    def _alike(self) -> bool:
        return True

    def _before(self, frame: bytes) -> None:
        self.waiting = True
        self._closed = self._closed or frame[0] & 0x0F == CLOSE
        if self.set_aside is not None:
            self.set_aside(self.descriptor)

    def offer(self, data: Shared) -> bool:
        return not self._closed and super().offer(data)

    def push(self, data: bytes) -> None:
        if not self._closed:
            super().push(data)


class ControlFrames:
    """A transport that says what is to be written before it is, one frame at a time."""

    __slots__ = ("_before", "_transport")

    def __init__(self, transport: asyncio.Transport, before: Callable[[bytes], None]) -> None:
        self._transport, self._before = transport, before

    def write(self, frame: bytes) -> None:
        self._before(frame)
        self._transport.write(frame)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

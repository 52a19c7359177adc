"""Offering bytes to a connection without a task of its own, see mediastream/broadcast.py.

`transport.write` of bytes that all viewers share costs no copy and keeps TLS. What a slow viewer may hold is
bounded twice: nothing is offered while the transport still has bytes of before, nor while the kernel holds
more unsent bytes than the last offer had (SIOCOUTQNSD), so that at most two offers lie in our socket; what
the client's own buffer holds is not ours to bound. Small offers are not worth a question each: the kernel is asked
once for every UNASKED bytes of them.
"""

import fcntl
from array import array
from typing import TYPE_CHECKING

from mediastream.broadcast import Shared
from mediastream.streams import Stream

if TYPE_CHECKING:
    from mediastream.server.connection import Connection

UNASKED = 4096  # bytes
SIOCOUTQNSD = 0x894B  # linux/sockios.h; unsent bytes, where SIOCOUTQ also counts those not yet acknowledged

_unsent = array("i", [0])


class ConnectionSink:
    """`stream`: counts what goes out, as does the connection. They are told when the kernel is asked, and by `settle`:
    an event is offered to thousands, and each object that has to be fetched from memory for it costs as much as ten
    that do not."""

    __slots__ = ("_chunked", "_connection", "_fileno", "_known", "_offered", "_stream", "_transport")

    def __init__(self, connection: "Connection", stream: Stream, *, chunked: bool) -> None:
        self._connection = connection
        self._transport = connection.transport
        self._fileno = connection.transport.get_extra_info("socket").fileno()
        self._stream = stream
        self._chunked = chunked
        self._offered = 0  # bytes since the kernel was asked
        self._known = False  # whether it has ever had room

    def offer(self, data: Shared) -> bool:
        transport = self._transport
        if transport.get_write_buffer_size() or transport.is_closing():
            return False
        text = data.chunk if self._chunked else data.plain
        offered = self._offered + len(text)
        if offered > UNASKED or not self._known:
            if self._unsent() > self._offered:
                return False
            self._known = True
            self.settle()
            offered = len(text)
        self._offered = offered
        transport.write(text)
        return True

    def push(self, data: bytes) -> None:
        """Write, whatever waits before it."""
        if not self._transport.is_closing():
            self._transport.write(data)
            self._offered += len(data)

    def _unsent(self) -> int:
        fcntl.ioctl(self._fileno, SIOCOUTQNSD, _unsent, True)
        return _unsent[0]

    def settle(self) -> None:
        """Count what was offered."""
        self._connection.count(self._offered)
        self._stream.bytes += self._offered
        self._offered = 0


class SocketSink(ConnectionSink):
    """A WebSocket's, for whole frames: none may come after the one by which either side has closed it."""

    __slots__ = ("_socket",)

    def __init__(self, connection: "Connection", stream: Stream) -> None:
        super().__init__(connection, stream, chunked=False)
        self._socket = connection.websocket

    def offer(self, data: Shared) -> bool:
        return not self._socket.closed and super().offer(data)

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
    """`stream`: counts what goes out."""

    def __init__(self, connection: "Connection", stream: Stream, *, chunked: bool) -> None:
        self._connection = connection
        self._transport = connection.transport
        self._fileno = connection.transport.get_extra_info("socket").fileno()
        self._stream = stream
        self._chunked = chunked
        self._last = 0
        self._unasked = UNASKED  # bytes offered since the kernel was asked

    def offer(self, data: Shared) -> bool:
        transport = self._transport
        if transport.get_write_buffer_size() or transport.is_closing():
            return False
        text = data.chunk if self._chunked else data.plain
        size = len(text)
        if self._unasked + size > UNASKED:
            fcntl.ioctl(self._fileno, SIOCOUTQNSD, _unsent, True)
            if _unsent[0] > self._last:
                return False
            self._unasked = self._last = 0
        self._unasked += size
        self._last += size
        self._connection.count(size)
        self._stream.bytes += size
        transport.write(text)
        return True

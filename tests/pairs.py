"""A sink that writes to one socket of a pair, and its client at the other."""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from mediastream.broadcast import Shared


class PairSink:
    """A sink without a transport: what the socket does not take waits here until `flush`."""

    def __init__(self, writing: socket.socket) -> None:
        self.descriptor = writing.fileno()
        self.set_aside: Callable[[int], None] | None = None
        self.counted = self.missed = 0
        self.suited: list[int] = []
        self._waiting = b""

    @property
    def direct(self) -> "PairSink":
        return self

    @property
    def waiting(self) -> bool:
        return bool(self._waiting)

    @property
    def unsent(self) -> int:
        return len(self._waiting)

    def offer(self, data: Shared) -> bool:
        self.flush()
        if self._waiting:
            return False
        self.counted += len(data.chunk)
        self._waiting = data.chunk
        self.flush()
        return True

    def suit(self, size: int) -> None:
        self.suited.append(size)

    def rest(self, data: Shared, sent: int) -> None:
        self.counted += len(data.chunk)
        self._waiting = data.chunk[sent:]

    def count(self, size: int) -> None:
        self.counted += size

    def passed_over(self) -> None:
        self.missed += 1

    def flush(self) -> None:
        with suppress(BlockingIOError):
            self._waiting = self._waiting[os.write(self.descriptor, self._waiting) :]


@contextmanager
def pair(buffer: int | None = None) -> Iterator[tuple[PairSink, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        if buffer is not None:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
        yield PairSink(ours), theirs


def taken(client: socket.socket) -> bytes:
    found = b""
    while True:
        try:
            found += client.recv(1 << 20)
        except BlockingIOError:
            return found

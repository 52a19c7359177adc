"""Bytes for many at once: framed once, and offered to each.

A body that says the same to everybody need not be pulled by each viewer's task. It takes its viewers' connections
instead: whoever produces offers each of them the same bytes, and one that is still busy with the last is passed over.
Under our worker who keeps up costs a write and nothing else (crowd.py); other ASGI servers have no more than `send` to
offer to (sendsink.py). Under WSGI the same body is iterated.
"""

from abc import abstractmethod
from collections.abc import Callable
from functools import cached_property
from typing import Protocol

from mediastream.bodies import Body


class Shared:
    """Bytes for many. `chunk`: framed as one chunk of HTTP/1.1 (RFC 9112 section 7.1)."""

    def __init__(self, plain: bytes) -> None:
        self.plain = plain

    @cached_property
    def chunk(self) -> bytes:
        return b"%x\r\n%b\r\n" % (len(self.plain), self.plain)


class Sink(Protocol):
    """One viewer's connection, ours to write to until the body is over.

    `direct`: the same one, if others may write to its socket, too.
    """

    @property
    def direct(self) -> "DirectSink | None": ...

    def offer(self, data: Shared) -> bool:
        """Send it if the connection has nothing of before left; else do nothing and say False."""


class DirectSink(Sink, Protocol):
    """One with a socket for whoever writes to that in place of `offer` (crowd.py).

    `descriptor`: of the socket; `waiting`: whether something of before may still have to go first, so that nobody may
    now; `set_aside`: set by who writes; the connection calls it with the descriptor before it writes by itself.
    """

    descriptor: int
    set_aside: Callable[[int], None] | None

    @property
    def waiting(self) -> bool: ...

    def suit(self, size: int) -> None:
        """Offers of `size` bytes and more will come: have the socket refuse them while it holds as much unsent."""

    def rest(self, data: Shared, sent: int) -> None:
        """Of an offer the socket took so many bytes: send what is left, and count all of it."""

    def count(self, size: int) -> None:
        """That many bytes went to the socket past `offer`."""


class BroadcastBody(Body):
    """A body that can feed a sink instead of being iterated."""

    @abstractmethod
    async def broadcast(self, sink: Sink) -> None:
        """Have `sink` fed until the stream is over. Raises StreamCut if it cannot go on.

        Called after the first chunk has been taken by `__anext__`; afterwards `__anext__` is at its end.
        """

"""Viewers who all get the same, written to in one loop.

Between two offers to one viewer lie those to all others, so nothing of it is in the processor's cache by then. A loop
that touches but the descriptor of whoever keeps up takes a quarter less time (bench/results/fanout-notes.md).
Who falls behind is offered the next by its own connection, and is back in the loop when that has taken it.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from mediastream.broadcast import DirectSink, Shared

TELL_EVERY = 1.0  # seconds: what has gone is then counted where others see it
ALIKE = 4096  # bytes: offers that are smaller are all of one size


@dataclass(eq=False, slots=True)
class Member:
    """`passed_over`: called for each offer that it misses; `since`: bytes of those not told of yet that came before
    it kept up."""

    sink: DirectSink
    passed_over: Callable[[], None]
    since: int = 0


class Crowd:
    """The sinks that keep up, and those that do not. `chunked`: whether they get what is offered as chunks of HTTP."""

    def __init__(self, *, chunked: bool = True) -> None:
        self._chunked = chunked
        self._members: dict[int, Member] = {}  # who keeps up, by descriptor
        self._behind: dict[int, Member] = {}  # who had something left to send when last offered something
        self._suits = range(0)  # sizes for which the sockets are set
        self._untold = 0
        self._told = 0.0  # when

    def __len__(self) -> int:
        return len(self._members) + len(self._behind)

    def join(self, sink: DirectSink, passed_over: Callable[[], None]) -> None:
        """It must leave before its descriptor is closed."""
        if self._suits:
            sink.suit(self._suits.stop // 4)
        self._behind[sink.descriptor] = Member(sink, passed_over)
        sink.set_aside = self._set_aside

    def leave(self, sink: DirectSink) -> None:
        sink.set_aside = None
        self._behind.pop(sink.descriptor, None)
        if (member := self._members.pop(sink.descriptor, None)) is not None:
            sink.count(self._untold - member.since)

    def offer(self, data: Shared) -> None:
        text = data.chunk if self._chunked else data.plain
        write, size = os.write, len(text)
        if size not in self._suits:
            self._suit(size)
        parts: list[tuple[int, int]] = []
        for descriptor in self._members:
            try:
                sent = write(descriptor, text)
            except OSError:  # full, or broken, which its connection hears of by itself
                sent = 0
            if sent != size:
                parts.append((descriptor, sent))
        behind, self._behind = self._behind, {}
        for descriptor, sent in parts:
            self._fall_behind(descriptor, sent, data)
        self._untold += size
        for descriptor, member in behind.items():
            self._try_again(descriptor, member, data)
        if (now := time.monotonic()) - self._told >= TELL_EVERY:
            self._told = now
            self._tell()

    def _set_aside(self, descriptor: int) -> None:
        if (member := self._members.pop(descriptor, None)) is not None:
            self._behind[descriptor] = member
            member.sink.count(self._untold - member.since)

    def _fall_behind(self, descriptor: int, sent: int, data: Shared) -> None:
        self._set_aside(descriptor)
        member = self._behind[descriptor]
        if sent:
            member.sink.rest(data, sent)
        else:
            member.passed_over()

    def _try_again(self, descriptor: int, member: Member, data: Shared) -> None:
        taken = member.sink.offer(data)
        if taken and not member.sink.waiting:
            member.since = self._untold
            self._members[descriptor] = member
            return
        self._behind[descriptor] = member
        if not taken:
            member.passed_over()

    def _suit(self, size: int) -> None:
        """From a power of two on that is no more than this one, so that pictures which differ a little share it."""
        least = max(1 << size.bit_length() - 1, ALIKE)
        self._suits = range(least if least > ALIKE else 0, 4 * least)
        for member in (*self._members.values(), *self._behind.values()):
            member.sink.suit(least)

    def _tell(self) -> None:
        for member in self._members.values():
            member.sink.count(self._untold - member.since)
            member.since = 0
        self._untold = 0

"""What a topic remembers: its latest events, and for each key the last.

`History` is the seam: another engine may hold the events for several hosts. This one holds them in memory, bounded in
number and in bytes, and forgets with its process.

What was said may be taken back: an event named `retract` stands from then on in the places of those with its key, so
that nobody who comes later is told them. Whoever has read them is told by the event itself.
"""

from collections import deque
from collections.abc import Iterable
from itertools import islice
from typing import Protocol

from mediastream.feeds.events import RETRACT, Entry

MOST_BYTES = 8 * 1024 * 1024  # of the data of its latest events, and as much again of the last of each key
MOST_KEYS = 10_000


class History(Protocol):
    """`first`: the sequence of the oldest event held, one more than the last if there is none."""

    @property
    def first(self) -> int: ...
    def append(self, entry: Entry) -> None: ...
    def after(self, sequence: int) -> Iterable[Entry]:
        """Those held that came later, the oldest first."""

    def latest(self, after: int) -> list[Entry]:
        """The last of each key, if that came later; the oldest first."""

    def holds(self, key: str) -> bool: ...
    def forgotten(self, after: int) -> int:
        """How many keys' last events, later than this, are held no more."""


class MemoryHistory:
    """`most`: events, at least one; `keyed`: whether the last of each key is kept beside them."""

    def __init__(self, most: int, *, keyed: bool) -> None:
        self._most = most
        self._entries: deque[Entry] = deque()
        self._bytes = 0
        self._next = 1
        self._keyed = keyed
        self._latest: dict[str, Entry] = {}
        self._latest_bytes = 0
        self._given_up: deque[int] = deque(maxlen=MOST_KEYS)

    @property
    def first(self) -> int:
        return self._entries[0].sequence if self._entries else self._next

    def append(self, entry: Entry) -> None:
        if entry.event.name == RETRACT and entry.key:
            self._retract(entry)
        self._entries.append(entry)
        self._bytes += entry.size
        self._next = entry.sequence + 1
        while len(self._entries) > self._most or (self._bytes > MOST_BYTES and len(self._entries) > 1):
            self._bytes -= self._entries.popleft().size
        if self._keyed:
            self._keep_latest(entry)

    def _retract(self, by: Entry) -> None:
        for index, entry in enumerate(self._entries):
            if entry.key == by.key and entry.event.name != RETRACT:
                self._entries[index] = Entry(by.event, entry.epoch, entry.sequence)
                self._bytes += by.size - entry.size

    def _keep_latest(self, entry: Entry) -> None:
        """In the order of the events: what has a newer one goes to the end."""
        former = self._latest.pop(entry.key, None)
        self._latest[entry.key] = entry
        self._latest_bytes += entry.size - (former.size if former is not None else 0)
        while len(self._latest) > MOST_KEYS or (self._latest_bytes > MOST_BYTES and len(self._latest) > 1):
            given_up = self._latest.pop(next(iter(self._latest)))
            self._latest_bytes -= given_up.size
            self._given_up.append(given_up.sequence)

    def after(self, sequence: int) -> Iterable[Entry]:
        missing = min(self._next - 1 - sequence, len(self._entries))
        return reversed(list(islice(reversed(self._entries), max(missing, 0))))

    def latest(self, after: int) -> list[Entry]:
        return [entry for entry in self._latest.values() if entry.sequence > after]

    def holds(self, key: str) -> bool:
        return key in self._latest or any(entry.key == key for entry in self._entries)

    def forgotten(self, after: int) -> int:
        return sum(sequence > after for sequence in self._given_up)

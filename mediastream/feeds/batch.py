"""What a reader wants of a topic, and what it is to be sent next."""

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property, lru_cache

from mediastream.broadcast import Shared
from mediastream.feeds.events import Format


@dataclass(frozen=True, eq=False)
class Want:
    """`keys`: those of the events it wants, None: all. Compared by identity, as each event does it for each reader:
    those who want the same share one (`want`), or else what is made for them is made twice."""

    form: Format
    keys: frozenset[str] | None = None

    def takes(self, key: str) -> bool:
        return self.keys is None or key in self.keys


@lru_cache(1024)
def want(form: Format, keys: frozenset[str] | None = None) -> Want:
    return Want(form, keys)


@dataclass(frozen=True)
class Batch:
    """What is to be sent next. `upto`: the sequence it reaches; `dropped`: events given up before it."""

    pieces: Collection[bytes]
    upto: int
    dropped: int = 0

    @cached_property
    def joined(self) -> Shared:
        return Shared(b"".join(self.pieces))

"""The streams that are open in this process: what each is, how much of it has gone out, and why it ended.

Whoever sends a body opens one and closes it; metrics, the log and the revocation of rights look at them
here. Lives on the home loop.

A stream is logged when it starts and when it ends. A file's range is over in a moment and players ask for
hundreds, so a file is logged only once it has lasted a while (`notice`), and then its end is too; all of
them are counted.
"""

import itertools
import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

logger = logging.getLogger(__name__)
_numbers = itertools.count(1)

LASTING = 2.0  # seconds

COMPLETE = "complete"
LEFT = "left"  # the client went
CUT = "cut"  # the body could not go on
REVOKED = "revoked"  # the right to it was taken away, or the item is gone
STALLED = "stalled"  # the client took no byte for too long


@dataclass(frozen=True)
class Label:
    """What is streamed. `kind`: file, transcode, mjpeg and so on; `item`: the id or name within it."""

    kind: str
    item: str


@dataclass(eq=False, slots=True)
class Stream:
    """One response's body under way. `bytes`: of it, handed to the kernel or the server; `whose`: the id of the
    visitor by whose right, None where anybody may; `number`: its name within this process."""

    label: Label
    holds: Callable[[], bool] | None  # whether the right it was opened by still stands; None: it needs none
    end: Callable[[], object]  # called once to end it early, with `reason` set
    whose: int | None = None
    number: int = field(default_factory=_numbers.__next__)
    started: float = field(default_factory=time.monotonic)
    bytes: int = 0
    reason: str = COMPLETE
    logged: bool = False

    def revoke(self) -> None:
        self.reason = REVOKED
        self.end()

    def log_start(self) -> None:
        self.logged = True
        logger.info("stream started kind=%s item=%s", self.label.kind, self.label.item)


@dataclass
class Totals:
    """Of the streams of one kind that are over."""

    bytes: int = 0
    ended: Counter[str] = field(default_factory=Counter)  # by reason


_dropped: Counter[str] = Counter()
_open: set[Stream] = set()
_totals: dict[str, Totals] = {}


def open_streams() -> set[Stream]:
    """Those under way now; not to be changed."""
    return _open


def totals() -> dict[str, Totals]:
    """By kind, of those that are over; not to be changed."""
    return _totals


def dropped() -> Counter[str]:
    """By kind, what producers had ready and viewers were too slow for; not to be changed."""
    return _dropped


def drop(kind: str, count: int = 1) -> None:
    _dropped[kind] += count


def opened(stream: Stream, *, brief: bool) -> Stream:
    """Note that it starts. `brief`: it will probably be over in a moment, and is logged only if it is not."""
    _open.add(stream)
    if not brief:
        stream.log_start()
    return stream


def closed(stream: Stream) -> None:
    """Note that it is over, for the reason it carries."""
    if stream not in _open:
        return
    _open.remove(stream)
    kind = stream.label.kind
    total = _totals.get(kind)
    if total is None:
        total = _totals[kind] = Totals()
    total.bytes += stream.bytes
    total.ended[stream.reason] += 1
    if stream.logged:
        seconds = time.monotonic() - stream.started
        logger.info(
            "stream ended kind=%s item=%s bytes=%d seconds=%.1f reason=%s",
            kind, stream.label.item, stream.bytes, seconds, stream.reason,
        )  # fmt: skip


def notice() -> None:
    """Log those that turned out to last, and end those whose right has gone. Called a few times a second."""
    now = time.monotonic()
    held: dict[Callable[[], bool], bool] = {}  # by what says so: a thousand streams may hang on one right
    for stream in list(_open):
        try:
            if not _stands(stream, held):
                stream.revoke()
            elif not stream.logged and now - stream.started > LASTING:
                stream.log_start()
        except Exception:  # of one stream, which must not keep the others from being looked at
            logger.exception("stream kind=%s item=%s could not be looked after", stream.label.kind, stream.label.item)


def _stands(stream: Stream, held: dict[Callable[[], bool], bool]) -> bool:
    holds = stream.holds
    if holds is None or stream.reason != COMPLETE:
        return True
    if holds not in held:
        held[holds] = holds()
    return held[holds]

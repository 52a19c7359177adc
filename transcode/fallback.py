"""Video encoded by the hardware there is, and by software where that fails: one way for streams, HLS and jobs.

An encoder that passed its trial may fail all the same: it has no session left, does not take this size, or its driver
hangs. Then software does the same at once, and this item's next ones for a while, so that a seek does not fail first
each time. Lives on the home loop; each process has its own.
"""

import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from django.utils import timezone

from transcode import hardware
from transcode.encoders import SOFTWARE, Encoder

logger = logging.getLogger(__name__)
T = TypeVar("T")
REST = 600.0  # seconds
MOST = 256  # items whose rest is known


@dataclass(frozen=True)
class Failure:
    """`count`: how many there have been in this process; `until`: by time.monotonic(), the end of the item's rest."""

    encoder: str
    why: str
    at: datetime
    count: int
    until: float


_failures: OrderedDict[str, Failure] = OrderedDict()  # by item, the last at the end
_count = 0


def last() -> Failure | None:
    return next(reversed(_failures.values()), None)


def rests(item: str) -> Failure | None:
    """Why software encodes this item for now."""
    failure = _failures.get(item)
    return failure if failure is not None and failure.until > time.monotonic() else None


def encoder_of(item: str) -> Encoder:
    """Who encodes this item next."""
    return SOFTWARE if rests(item) else hardware.chosen()


async def encoded(item: str, work: Callable[[Encoder], Awaitable[T]], failures: tuple[type[Exception], ...]) -> T:
    """What `work` gives; `failures`: those of its exceptions that may be the encoder's fault."""
    encoder = encoder_of(item)
    if encoder is not SOFTWARE:
        try:
            return await work(encoder)
        except failures as fault:
            rest(item, encoder, str(fault))
    return await work(SOFTWARE)


def rest(item: str, encoder: Encoder, why: str) -> None:
    """Software encodes this item for a while."""
    global _count
    logger.warning("%s failed for item=%s and software encodes: %s", encoder.name, item, why)
    _count += 1
    _failures[item] = Failure(encoder.name, why, timezone.now(), _count, time.monotonic() + REST)
    _failures.move_to_end(item)
    while len(_failures) > MOST:
        _failures.popitem(last=False)


def forget() -> None:
    global _count
    _failures.clear()
    _count = 0

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
    """The last one of this process. `count`: how many there were."""

    encoder: str
    why: str
    at: datetime
    count: int


_resting: OrderedDict[str, float] = OrderedDict()
_last: Failure | None = None


def last() -> Failure | None:
    return _last


def encoder_of(item: str) -> Encoder:
    """Who encodes this item next."""
    until = _resting.get(item, 0.0)
    return SOFTWARE if until > time.monotonic() else hardware.chosen()


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
    global _last
    logger.warning("%s failed for item=%s and software encodes: %s", encoder.name, item, why)
    _last = Failure(encoder.name, why, timezone.now(), 1 + (_last.count if _last else 0))
    _resting.pop(item, None)
    _resting[item] = time.monotonic() + REST
    while len(_resting) > MOST:
        _resting.popitem(last=False)


def forget() -> None:
    global _last
    _resting.clear()
    _last = None

"""The process-wide "finish streaming" latch.

Open streams hold a SIGTERM for the server's whole graceful timeout, and on SIGINT gunicorn never runs
lifespan shutdown. So whatever serves the stop signal calls `begin()`, and every endless stream and
transcode has registered here what ends it at once. Downloads do not register: they have an end of
their own and get the server's grace.
"""

import logging
from collections.abc import Callable

logger = logging.getLogger(__name__)

_ends: dict[object, Callable[[], None]] = {}
_begun = False


def begun() -> bool:
    return _begun


def begin() -> None:
    """Close the latch and end every registered stream. Called on the home loop; further calls do nothing.

    An end that fails is said and passed over: the streams behind it would hold the stop.
    """
    global _begun
    _begun = True
    while _ends:
        try:
            _ends.popitem()[1]()
        except Exception:
            logger.exception("a stream could not be ended")


def reset() -> None:
    """Open the latch again: for a process that starts to serve."""
    global _begun
    _begun = False


def on_begin(end: Callable[[], None]) -> Callable[[], None]:
    """Have `end` called, once, when the process drains (at once if it already does).

    Returns what takes the registration back; its owner calls that when the stream is over.
    """
    if _begun:
        end()
        return lambda: None
    key = object()
    _ends[key] = end
    return lambda: _ends.pop(key, None) and None

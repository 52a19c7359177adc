"""Hears the stop signal under servers that keep it to themselves.

Endless streams hold a stop for the server's whole graceful timeout (drain.py): under uvicorn and Granian for
good, unless they are told a timeout. Neither ASGI nor WSGI says that a stop has begun; lifespan shutdown comes
after the last stream. Our own worker closes the latch in its handler. Under any other server the handler it has
installed is put behind one that closes the latch first; the server then stops as it would have.

Where a server has no Python handler there is nothing to do: the signal ends the process, and its children with
it (spawning.py). uWSGI handles signals in C and ends its threads without asking.
"""

import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

from mediastream import drain, homeloop

STOPS = (signal.SIGTERM, signal.SIGINT)

_listening = False


def listen() -> None:
    """Close the drain latch at a stop signal from now on. In any but the main thread it does nothing: only that
    one may install handlers (signal.signal). Further calls do nothing."""
    global _listening
    if _listening or "uwsgi" in sys.modules or threading.current_thread() is not threading.main_thread():
        return
    _listening = True
    for number in STOPS:
        theirs = signal.getsignal(number)
        if callable(theirs) and theirs is not signal.default_int_handler:
            signal.signal(number, _before(theirs))


def _before(theirs: Callable[[int, Any], Any]) -> Callable[[int, Any], Any]:
    """An event loop's handlers are not lost by this: it learns of signals by its wakeup descriptor, and what it
    installs is an empty function (asyncio, uvloop)."""

    def heard(number: int, frame: Any) -> Any:
        homeloop.soon(drain.begin)
        return theirs(number, frame)

    return heard

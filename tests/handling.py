"""The real handler in a test: what it changes for its whole process is undone."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.core.signals import request_finished, request_started

from mediastream import homeloop
from mediastream.handler import MediaHandler


@contextmanager
def real_handler() -> Iterator[MediaHandler]:
    """It takes Django's own receivers off the signals, and makes the loop that serves the home of this process. Who
    serves with it ends the watch (watch.py) on that loop."""
    receivers = {signal: list(signal.receivers) for signal in (request_started, request_finished)}
    home, homeloop._home = homeloop._home, None
    try:
        yield MediaHandler()
    finally:
        homeloop._home = home
        for signal, kept in receivers.items():
            with signal.lock:
                signal.receivers = kept

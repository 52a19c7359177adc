"""Log lines that would come by the thousand when something runs out: said at once, and then once in a while."""

import logging
import time

from mediastream.errors import Exhausted, system_fault

PAUSE = 10.0  # seconds


class Seldom:
    """One kind of line. The next to be said tells how many were left out before it."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._next = 0.0
        self._left_out = 0

    def warning(self, text: str, *arguments: object) -> None:
        now = time.monotonic()
        if now < self._next:
            self._left_out += 1
            return
        if self._left_out:
            text += f" ({self._left_out} more like it since the last time)"
        self._next, self._left_out = now + PAUSE, 0
        self._logger.warning(text, *arguments)


class WithoutExhaustion(logging.Filter):
    """Django logs each exception with its traceback; that the system gives no more is said by faults.py, seldom."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return error is None or not isinstance(system_fault(error), Exhausted)

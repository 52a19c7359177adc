"""Waits shorter than a millisecond, which is all that the loops' own timers know: timerfd_create(2).

Python itself has it from 3.13 on.
"""

import asyncio
import ctypes
import os
import time
from collections.abc import Callable

TFD_NONBLOCK, TFD_CLOEXEC = os.O_NONBLOCK, os.O_CLOEXEC  # timerfd_create(2): they have the same values
_libc = ctypes.CDLL(None, use_errno=True)
_create, _set = _libc.timerfd_create, _libc.timerfd_settime


class TimerSpec(ctypes.Structure):
    """struct itimerspec of timerfd_settime(2): the interval, and the time until it goes off. Zero is never."""

    _fields_ = [(name, ctypes.c_long) for name in ("every_s", "every_ns", "seconds", "nanoseconds")]


_never = ctypes.byref(TimerSpec())


class FineTimer:
    """One wait at a time. Where the kernel has no descriptor for it, it is the loop's, and longer."""

    def __init__(self, callback: Callable[[], object]) -> None:
        self._loop = asyncio.get_running_loop()
        self._callback = callback
        self._coarse: asyncio.TimerHandle | None = None
        self._fd = _create(time.CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC)
        if self._fd >= 0:
            try:
                self._loop.add_reader(self._fd, self._due)
            except BaseException:
                os.close(self._fd)
                raise

    def start(self, seconds: float) -> None:
        """Call the callback once after `seconds`: more than 0, less than 1."""
        if self._fd >= 0:
            _set(self._fd, 0, ctypes.byref(TimerSpec(0, 0, 0, int(seconds * 1e9))), None)
        else:
            self._cancel()
            self._coarse = self._loop.call_later(seconds, self._callback)

    def _due(self) -> None:
        """Setting it takes the word back that it has gone off: it need not be read."""
        _set(self._fd, 0, _never, None)
        self._callback()

    def close(self) -> None:
        """Safe to repeat."""
        self._cancel()
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1

    def _cancel(self) -> None:
        if self._coarse is not None:
            self._coarse.cancel()

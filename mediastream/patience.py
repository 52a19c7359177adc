"""A deadline for each of many awaits of one task, by one timer.

`asyncio.timeout` makes a timer each time, which costs as much as sending a small event does. Here the beginning of each
await is noted, and a timer that is rarely set looks whether the one under way has lasted too long.
"""

import asyncio
from types import TracebackType


class Patience:
    """`with patience:` around an await raises TimeoutError after `seconds` in it; None: never. To be closed."""

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._since: float | None = None  # when the await under way began
        self._timer: asyncio.TimerHandle | None = None
        self._cancelling = 0
        self._late = False

    def __enter__(self) -> None:
        if self._seconds is None:
            return
        self._since = self._loop.time()
        if self._timer is None:
            self._timer = self._loop.call_at(self._since + self._seconds, self._look)

    def _look(self) -> None:
        assert self._seconds is not None
        assert self._task is not None
        now = self._loop.time()
        since = now if self._since is None else self._since
        if now - since < self._seconds:
            self._timer = self._loop.call_at(since + self._seconds, self._look)
            return
        self._timer, self._late = None, True
        self._cancelling = self._task.cancelling()
        self._task.cancel()

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None) -> None:
        self._since = None
        if not self._late:
            return
        self._late = False
        assert self._task is not None
        # Somebody else may have cancelled it, too (as in asyncio.timeout).
        if self._task.uncancel() <= self._cancelling and kind is not None and issubclass(kind, asyncio.CancelledError):
            raise TimeoutError from fault

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

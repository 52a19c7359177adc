"""A camera's latest picture, or why there is none. Who asks for one picture waits here."""

import asyncio
import time
from contextlib import suppress

from mediastream.errors import SourceFailed
from mediastream.live.failures import Failure
from mediastream.live.frames import Frame
from mediastream.live.placeholder import Placeholder, reconnecting


class Latest:
    """`frame`: since the source was started; `failure`: since that picture; `failing`: set while there is one."""

    def __init__(self) -> None:
        self.frame: Frame | None = None
        self.failure: Failure | None = None
        self.last_failure: Failure | None = None
        self.failing = asyncio.Event()
        self._ended = False
        self._news = asyncio.Event()  # a frame or a failure
        self._placeholder: Placeholder | None = None

    def publish(self, frame: Frame) -> None:
        self.frame, self.failure, self._placeholder = frame, None, None
        self.failing.clear()
        self._news.set()

    def fail(self, failure: Failure) -> None:
        self.failure = self.last_failure = failure
        self.failing.set()
        self._news.set()

    def forget(self) -> None:
        """The source is stopped: neither is of now. Why it failed last is still told."""
        self.frame = self.failure = self._placeholder = None
        self.failing.clear()
        self._news.set()

    def end(self) -> None:
        """No more will come."""
        self._ended = True
        self._news.set()

    async def picture(self, deadline: float, max_age: float | None = None) -> Frame:
        """The latest frame, or the first to come. `deadline`: seconds; `max_age`: seconds it may be old.

        Raises SourceFailed as soon as an attempt to open the source has failed.
        """
        oldest = time.time() - max_age if max_age is not None else 0.0
        with suppress(TimeoutError):
            async with asyncio.timeout(deadline):
                while not self._has(oldest) and self.failure is None and not self._ended:
                    self._news.clear()
                    await self._news.wait()
        if self.frame is not None and self._has(oldest):
            return self.frame
        ended = "it was ended, as the server is stopping or the camera was changed"
        reason = self.failure or (ended if self._ended else "no picture came in time")
        raise SourceFailed(f"The camera gives no picture now: {reason}. It is tried again by itself.", retry_after=5)

    def _has(self, oldest: float) -> bool:
        return self.frame is not None and self.frame.captured >= oldest

    async def stand_in(self) -> Frame | None:
        """A picture that says how old the last one is, with that one's time; None if there was none."""
        last = self.frame
        if last is None:
            return None
        if self._placeholder is None:
            self._placeholder = Placeholder(last.jpeg)
        words = reconnecting(time.time() - last.captured)
        return Frame(await asyncio.to_thread(self._placeholder.draw, words), last.captured)

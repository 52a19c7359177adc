"""A camera's source, run again and again for as long as the camera wants it.

A source that fails or stalls is opened again, after a wait that grows with each failure in a row.
"""

import asyncio
import time
from collections.abc import Callable

from mediastream.live.capture import Capture, OtherWay, opened
from mediastream.live.facts import Facts
from mediastream.live.failures import CaptureFailed, Failure, Reason
from mediastream.live.frames import Frame, FrameTooLarge
from mediastream.live.rhythm import Backoff, Rhythm
from mediastream.live.sources import DEVICE, Source
from mediastream.live.terms import Terms

BACKOFF = (0.5, 8.0)  # seconds before the first retry, and at most


class Producer:
    """Gives each picture to `publish`, and to `fail` why a run is over.

    `rhythm`: of the present run, once it has given a picture; `facts`: of what it gives, or gave last.
    """

    def __init__(
        self,
        source: Source,
        terms: Terms,
        executable: str,
        publish: Callable[[Frame], None],
        fail: Callable[[Failure], None],
    ) -> None:
        self.rhythm: Rhythm | None = None
        self.facts: Facts | None = None
        self._source = source
        self._terms = terms
        self._executable = executable
        self._publish = publish
        self._fail = fail
        self._now = asyncio.get_running_loop().time
        self._copy = source.kind is DEVICE  # how to open it: capture.py

    async def run(self) -> None:
        """Until cancelled."""
        backoff = Backoff(*BACKOFF)
        while True:
            started = time.monotonic()
            failure = await self._run_source()
            if failure is not None:
                self.rhythm = None
                self._fail(failure)
                await asyncio.sleep(backoff.after(time.monotonic() - started))

    async def _run_source(self) -> Failure | None:
        """Publish the pictures of one run; returns why it ended, None if it is to be opened another way."""
        capture: Capture | None = None
        now = self._now
        rhythm = Rhythm(now())
        try:
            async with opened(self._executable, self._source, self._terms, copy=self._copy) as capture:
                rhythm = Rhythm(now(), capture.every)
                while True:
                    async with asyncio.timeout_at(rhythm.deadline):
                        frames = await capture.read()
                    for frame in frames:
                        rhythm.note(now())
                        self.rhythm, self.facts = rhythm, capture.facts
                        self._publish(frame)
        except OtherWay as way:
            self._copy = way.copy
            return None
        except CaptureFailed as ended:
            failure = ended.failure
        except TimeoutError:
            stalled = f"no picture for {rhythm.patience:.0f} seconds"
            failure = Failure(Reason.TIMED_OUT, stalled, tuple(capture.said()) if capture is not None else ())
        except FrameTooLarge as fault:
            failure = Failure(Reason.NO_VIDEO, f"it sends {fault}")
        if capture is None or capture.facts is None:
            self._copy = self._source.kind is DEVICE  # what it gives may have changed
        return failure

"""One viewer's place at a camera."""

import asyncio
import time
from collections.abc import Callable

from mediastream import streams
from mediastream.live.frames import Frame
from mediastream.live.rhythm import Pace


class Viewer:
    """A place for one frame, the latest. `fps`: how many a second it wants at most, None: all.

    `skipped`: frames that were replaced before they were taken; not those it does not want.
    """

    __slots__ = ("_changed", "_ended", "_frame", "_offer", "_pace", "skipped")

    def __init__(self, fps: float | None = None) -> None:
        self.skipped = 0
        self._pace = Pace(fps) if fps is not None else None
        self._offer: Callable[[Frame], bool] | None = None
        self._frame: Frame | None = None
        self._ended = False
        self._changed = asyncio.Event()

    @property
    def wants_all(self) -> bool:
        return self._pace is None

    def feed(self, offer: Callable[[Frame], bool] | None) -> None:
        """Have the frames given to `offer`, which says whether they were taken; None: kept here again.

        The frame that waits here is offered at once.
        """
        self._offer = offer
        waiting, self._frame = self._frame, None
        if offer is not None and waiting is not None:
            offer(waiting)

    def offer(self, frame: Frame) -> None:
        if self._pace is not None and not self._pace.due(time.monotonic()):
            return
        if self._offer is not None:
            if not self._offer(frame):
                self.passed_over()
            return
        if self._frame is not None:
            self.passed_over()
        self._frame = frame
        self._changed.set()

    def passed_over(self) -> None:
        self.skipped += 1
        streams.drop("mjpeg")

    def end(self) -> None:
        self._ended = True
        self._changed.set()

    async def over(self) -> None:
        """Return when the camera has ended."""
        while not self._ended:
            self._changed.clear()
            await self._changed.wait()

    async def take(self) -> Frame | None:
        """The latest frame not yet taken, waited for; None when the camera has ended."""
        while self._frame is None and not self._ended:
            self._changed.clear()
            await self._changed.wait()
        frame, self._frame = self._frame, None
        return None if self._ended else frame

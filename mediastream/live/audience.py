"""Those who watch a camera, and what they are offered: its pictures, and what stands in for those that do not come.

Each viewer has a place for one frame, the latest; a frame that comes before the last was taken replaces it, and the
viewer's `skipped` counts it.

While the source fails, they get a picture once a second that says how old the last one is. A frozen picture would look
live, and a broken stream tells nothing.
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress

from mediastream.broadcast import DirectSink, Sink
from mediastream.crowd import Crowd
from mediastream.live.frames import Frame
from mediastream.live.latest import Latest
from mediastream.live.viewer import Viewer

ANNOUNCE = 1.0  # seconds without a picture, after a failure, until viewers are told, and from then on
KEEPALIVE = 10.0  # seconds after which a picture that still stands is sent again, before a proxy gives up
REFRESH = 1.0  # seconds after which a picture that has not changed is sent again


class Audience:
    """`offered`: what they were offered last; `left_out`: pictures that they were not, as they were the same."""

    def __init__(self, *, drop_identical: bool) -> None:
        self.offered: Frame | None = None
        self.left_out = 0
        self._drop_identical = drop_identical
        self._offered_at = 0.0
        self._viewers: set[Viewer] = set()
        self._apart: set[Viewer] = set()  # those of them who are offered each picture; the others are in the crowd
        self._crowd = Crowd()

    def __len__(self) -> int:
        return len(self._viewers)

    def counted(self) -> tuple[tuple[int, ...], int]:
        """For each who watches the pictures, those skipped; and how many watch by an encoder. Any thread may ask."""
        viewers = self._viewers.copy()
        skips = tuple(viewer.skipped for viewer in viewers if viewer.through is None)
        return skips, sum(viewer.through() for viewer in viewers if viewer.through is not None)

    def join(self, viewer: Viewer) -> None:
        """It gets what was offered last at once."""
        self._viewers.add(viewer)
        self._apart.add(viewer)
        if self.offered is not None:
            viewer.offer(self.offered)

    def leave(self, viewer: Viewer) -> None:
        self._viewers.discard(viewer)
        self._apart.discard(viewer)

    def end(self) -> None:
        for viewer in self._viewers:
            viewer.end()

    def forget(self) -> None:
        """The source is stopped: what it gave is not for who comes next."""
        self.offered = None

    @contextmanager
    def feeding(self, viewer: Viewer, sink: Sink) -> Iterator[None]:
        """Meanwhile its pictures go into `sink`: with those of the crowd if it wants them all."""
        viewer.feed(lambda frame: sink.offer(frame.part))
        direct = sink.direct if viewer.wants_all else None
        with nullcontext() if direct is None else self._together(viewer, direct):
            try:
                yield
            finally:
                viewer.feed(None)

    @contextmanager
    def _together(self, viewer: Viewer, sink: DirectSink) -> Iterator[None]:
        self._apart.discard(viewer)
        self._crowd.join(sink, viewer.passed_over)
        try:
            yield
        finally:
            self._crowd.leave(sink)
            self._apart |= {viewer} & self._viewers

    def show(self, frame: Frame) -> None:
        if self._drop_identical and self._is_shown(frame):
            self.left_out += 1
            return
        self._offer(frame)

    def _is_shown(self, frame: Frame) -> bool:
        """Whether the viewers have just that picture. They get it again every second, with its new time."""
        fresh = time.monotonic() - self._offered_at < REFRESH
        return fresh and self.offered is not None and self.offered.jpeg == frame.jpeg

    def _offer(self, frame: Frame) -> None:
        self.offered, self._offered_at = frame, time.monotonic()
        if self._crowd:
            self._crowd.offer(frame.part)
        for viewer in self._apart:
            viewer.offer(frame)

    async def announce(self, latest: Latest) -> None:
        """While no picture comes, offer one every second that says so. Until cancelled."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(KEEPALIVE):
                    await latest.failing.wait()
            down = latest.failing.is_set()
            rest = self._offered_at + (ANNOUNCE if down else KEEPALIVE) - time.monotonic()
            if rest > 0:
                await asyncio.sleep(rest if down else 0)
                continue
            self._offered_at = time.monotonic()
            if not self._viewers:
                continue
            frame = await latest.stand_in() if down else self.offered
            if frame is not None and (latest.failing.is_set() or frame is self.offered):
                self._offer(frame)

"""A camera: where the one producer and its viewers meet.

The producer never waits. Each viewer has a place for one frame, the latest; a frame that comes before
the last was taken replaces it, and the viewer's `skipped` counts it. The first viewer starts the source,
and it stops a linger after the last has gone, so that a reload does not restart it.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from mediastream import drain
from mediastream.errors import SourceFailed
from mediastream.ffmpeg import last_words
from mediastream.live import sources
from mediastream.live.frames import Frame, FrameTooLarge, JpegSplitter
from mediastream.process import Child

logger = logging.getLogger(__name__)

READ = 256 * 1024  # bytes
SILENCE = 10.0  # seconds without a byte after which the source is ended and started again
BACKOFF = (0.5, 8.0)  # seconds before the first retry, and at most


@dataclass(frozen=True)
class Terms:
    """What a camera's row says. Viewers have come on these terms: others are another camera's."""

    source: str
    fps: int
    visibility: str


class Viewer:
    """One viewer's place. `skipped`: frames that were replaced before they were taken."""

    def __init__(self) -> None:
        self.skipped = 0
        self._frame: Frame | None = None
        self._ended = False
        self._changed = asyncio.Event()

    def offer(self, frame: Frame) -> None:
        if self._frame is not None:
            self.skipped += 1
        self._frame = frame
        self._changed.set()

    def end(self) -> None:
        self._ended = True
        self._changed.set()

    async def take(self) -> Frame | None:
        """The latest frame not yet taken, waited for; None when the camera has ended."""
        while self._frame is None and not self._ended:
            self._changed.clear()
            await self._changed.wait()
        frame, self._frame = self._frame, None
        return None if self._ended else frame


class Camera:
    """One source, captured once. Lives on the home loop; `close` ends everything it owns."""

    def __init__(self, slug: str, terms: Terms, executable: str, linger: float) -> None:
        self.slug = slug
        self.terms = terms
        self.source = sources.parse(terms.source)
        self.latest: Frame | None = None
        self.failure: str | None = None
        self._argv = sources.argv(executable, self.source, terms.fps)
        self._linger = linger
        self._viewers: set[Viewer] = set()
        self._capturing: asyncio.Task[None] | None = None
        self._captures: set[asyncio.Task[None]] = set()  # that one, and those still ending their child
        self._leaving: asyncio.TimerHandle | None = None
        self._news = asyncio.Event()  # a frame or a failure
        self.closed = False
        self._release_drain: Callable[[], None] = lambda: None  # on_begin calls `end` at once if the process drains
        self._release_drain = drain.on_begin(self.end)

    @property
    def viewers(self) -> int:
        return len(self._viewers)

    def join(self) -> Viewer:
        """A place for one more viewer, who gets the latest frame at once; starts the source if it rests."""
        viewer = Viewer()
        if self.closed:
            viewer.end()
            return viewer
        self._viewers.add(viewer)
        if self._leaving is not None:
            self._leaving.cancel()
            self._leaving = None
        if self._capturing is None:
            self._capturing = asyncio.create_task(self._capture(), name=f"camera {self.slug}")
            self._captures.add(self._capturing)
            self._capturing.add_done_callback(self._captures.discard)
        elif self.latest is not None:
            viewer.offer(self.latest)
        return viewer

    def leave(self, viewer: Viewer) -> None:
        self._viewers.discard(viewer)
        if not self._viewers and self._capturing is not None and self._leaving is None:
            self._leaving = asyncio.get_running_loop().call_later(self._linger, self._rest)

    async def first_frame(self, deadline: float) -> Frame:
        """The latest frame, or the first to come. `deadline`: seconds.

        Raises SourceFailed as soon as an attempt to open the source has failed.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(deadline):
                while self.latest is None and self.failure is None and not self.closed:
                    self._news.clear()
                    await self._news.wait()
        if self.latest is not None:
            return self.latest
        ended = "it was ended, as the server is stopping or the camera was changed"
        reason = self.failure or (ended if self.closed else "no picture came in time")
        raise SourceFailed(f"The camera gives no picture now: {reason}. It is tried again by itself.", retry_after=5)

    def end(self) -> None:
        """End the viewers and the source now; `close` also waits until the child is reaped."""
        self._release_drain()
        self.closed = True
        for viewer in self._viewers:
            viewer.end()
        self._rest()

    async def close(self) -> None:
        self.end()
        if self._captures:
            await asyncio.wait(self._captures)

    def _rest(self) -> None:
        """Stop capturing; the task's own cleanup ends and reaps the child."""
        self._leaving = None
        if self._capturing is not None:
            self._capturing.cancel()
            self._capturing = None
        self.latest = self.failure = None
        self._news.set()

    async def _capture(self) -> None:
        """Run the source as long as it is wanted; wait longer after each failure in a row."""
        pause = BACKOFF[0]
        while True:
            started = time.monotonic()
            self.failure = await self._run_source()
            self.latest = None  # a picture of then must not look like one of now
            self._news.set()
            logger.warning("camera %s (%s): %s", self.slug, self.source, self.failure)
            if time.monotonic() - started > 2 * BACKOFF[1]:
                pause = BACKOFF[0]
            await asyncio.sleep(pause * random.uniform(0.7, 1.3))  # noqa: S311 - jitter, not a secret
            pause = min(2 * pause, BACKOFF[1])

    async def _run_source(self) -> str:
        """Publish the frames of one run of FFmpeg; returns why it ended."""
        try:
            child = await Child.spawn(self._argv)
        except OSError as fault:
            return f"FFmpeg cannot be started: {fault.strerror}"
        splitter = JpegSplitter()
        try:
            while True:
                async with asyncio.timeout(SILENCE):
                    data = await child.read(READ)
                if not data:
                    await child.wait()
                    return last_words(child.stderr)
                for jpeg in splitter.feed(data):
                    self._publish(Frame(jpeg, time.time()))
        except TimeoutError:
            return f"it has been silent for {SILENCE:g} seconds"
        except FrameTooLarge as fault:
            return f"it sends {fault}"
        finally:
            await child.stop()

    def _publish(self, frame: Frame) -> None:
        self.latest, self.failure = frame, None
        self._news.set()
        for viewer in self._viewers:
            viewer.offer(frame)

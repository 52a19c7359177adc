"""A camera: where the one producer and its viewers meet.

The producer never waits. Each viewer has a place for one frame, the latest; a frame that comes before
the last was taken replaces it, and the viewer's `skipped` counts it. The first viewer starts the source,
and it stops a linger after the last has gone, so that a reload does not restart it. One that is kept on runs
without viewers too.

A source that fails or stalls is started again, and the viewers stay meanwhile: once a second they get a picture
that says how old the last one is. A frozen picture would look live, and a broken stream tells nothing.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress

from mediastream import drain
from mediastream.broadcast import Sink
from mediastream.crowd import Crowd
from mediastream.errors import SourceFailed
from mediastream.live.capture import Capture, OtherWay, opened
from mediastream.live.condition import Condition, State
from mediastream.live.facts import Facts
from mediastream.live.failures import CaptureFailed, Failure, Reason
from mediastream.live.frames import Frame, FrameTooLarge
from mediastream.live.placeholder import Placeholder, reconnecting
from mediastream.live.rhythm import Backoff, Pace, Rhythm
from mediastream.live.sources import DEVICE
from mediastream.live.terms import Terms
from mediastream.live.viewer import Viewer

logger = logging.getLogger(__name__)

BACKOFF = (0.5, 8.0)  # seconds before the first retry, and at most
ANNOUNCE = 1.0  # seconds without a picture, after a failure, until viewers are told, and from then on
KEEPALIVE = 10.0  # seconds after which a picture that still stands is sent again, before a proxy gives up
REFRESH = 1.0  # seconds after which a picture that has not changed is sent again
LOG_AGAIN = 300.0  # seconds after which a failure that stays is logged again


class Camera:
    """One source, captured once. Lives on the home loop; `close` ends everything it owns."""

    def __init__(self, slug: str, terms: Terms, executable: str, linger: float) -> None:
        self.slug = slug
        self.terms = terms
        self.source = terms.parsed()
        self.latest: Frame | None = None  # since it was started
        self.offered: Frame | None = None  # to the viewers: that one, or what stands in for the next
        self.failure: Failure | None = None  # since the latest picture
        self.last_failure: Failure | None = None
        self.facts: Facts | None = None
        self.closed = False
        self._executable = executable
        self._now = asyncio.get_running_loop().time
        self._copy = self.source.kind is DEVICE  # how to open it: capture.py
        self._linger = linger
        self._viewers: set[Viewer] = set()
        self._apart: set[Viewer] = set()  # those of them who are offered each picture; the others are in the crowd
        self._crowd = Crowd()
        self._kept = False
        self._capturing: asyncio.Task[None] | None = None
        self._captures: set[asyncio.Task[None]] = set()  # that one, and those still ending their child
        self._leaving: asyncio.TimerHandle | None = None
        self._news = asyncio.Event()  # a frame or a failure
        self._down = asyncio.Event()  # set while there is a failure
        self._rhythm: Rhythm | None = None
        self._pace = Pace(terms.fps)
        self._left_out = 0
        self._placeholder: Placeholder | None = None
        self._offered_at = 0.0
        self._logged: tuple[Failure | None, float] = (None, 0.0)
        self._release_drain: Callable[[], None] = lambda: None  # on_begin calls `end` at once if the process drains
        self._release_drain = drain.on_begin(self.end)

    @property
    def viewers(self) -> int:
        return len(self._viewers)

    @property
    def state(self) -> State:
        if self._capturing is None:
            return State.RESTING
        if self.failure is not None:
            return State.RECONNECTING
        if self.latest is None or self._rhythm is None:
            return State.STARTING
        return State.LATE if self._rhythm.late(self._now()) else State.LIVE

    @property
    def condition(self) -> Condition:
        return Condition(
            self.state,
            self.latest.captured if self.latest is not None else None,
            self.last_failure,
            self.facts,
            self._rhythm.rate if self._rhythm is not None else None,
            tuple(viewer.skipped for viewer in self._viewers.copy()),
            self._left_out,
        )

    def join(self, fps: float | None = None) -> Viewer:
        """A place for one more viewer, who gets the last frame at once; starts the source if it rests."""
        viewer = Viewer(fps)
        if self.closed:
            viewer.end()
            return viewer
        self._viewers.add(viewer)
        self._apart.add(viewer)
        self._start_or_leave()
        if self.offered is not None:
            viewer.offer(self.offered)
        return viewer

    def leave(self, viewer: Viewer) -> None:
        self._viewers.discard(viewer)
        self._apart.discard(viewer)
        self._start_or_leave()

    @contextmanager
    def feeding(self, viewer: Viewer, sink: Sink) -> Iterator[None]:
        """Meanwhile its pictures go into `sink`: with those of the crowd if it wants them all."""
        viewer.feed(lambda frame: sink.offer(frame.part))
        with self._together(viewer, sink) if viewer.wants_all and sink.descriptor is not None else nullcontext():
            try:
                yield
            finally:
                viewer.feed(None)

    @contextmanager
    def _together(self, viewer: Viewer, sink: Sink) -> Iterator[None]:
        self._apart.discard(viewer)
        self._crowd.join(sink, viewer.passed_over)
        try:
            yield
        finally:
            self._crowd.leave(sink)
            self._apart |= {viewer} & self._viewers

    def keep(self, on: bool) -> None:
        """Whether it is to run without viewers too."""
        self._kept = on
        self._start_or_leave()

    def _start_or_leave(self) -> None:
        if self.closed:
            return
        if self._viewers or self._kept:
            if self._leaving is not None:
                self._leaving.cancel()
                self._leaving = None
            if self._capturing is None:
                self._start()
        elif self._capturing is not None and self._leaving is None:
            self._leaving = asyncio.get_running_loop().call_later(self._linger, self._rest)

    async def picture(self, deadline: float, max_age: float | None = None) -> Frame:
        """The latest frame, or the first to come. `deadline`: seconds; `max_age`: seconds it may be old.

        Raises SourceFailed as soon as an attempt to open the source has failed.
        """
        oldest = time.time() - max_age if max_age is not None else 0.0
        with suppress(TimeoutError):
            async with asyncio.timeout(deadline):
                while not self._has(oldest) and self.failure is None and not self.closed:
                    self._news.clear()
                    await self._news.wait()
        if self.latest is not None and self._has(oldest):
            return self.latest
        ended = "it was ended, as the server is stopping or the camera was changed"
        reason = self.failure or (ended if self.closed else "no picture came in time")
        raise SourceFailed(f"The camera gives no picture now: {reason}. It is tried again by itself.", retry_after=5)

    def _has(self, oldest: float) -> bool:
        return self.latest is not None and self.latest.captured >= oldest

    async def stand_in(self) -> Frame | None:
        """A picture that says how old the last one is, with that one's time; None if there was none."""
        last = self.latest
        if last is None:
            return None
        if self._placeholder is None:
            self._placeholder = Placeholder(last.jpeg)
        words = reconnecting(time.time() - last.captured)
        return Frame(await asyncio.to_thread(self._placeholder.draw, words), last.captured)

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

    def _start(self) -> None:
        self._capturing = asyncio.create_task(self._run(), name=f"camera {self.slug}")
        self._captures.add(self._capturing)
        self._capturing.add_done_callback(self._over)

    def _over(self, task: "asyncio.Task[None]") -> None:
        self._captures.discard(task)
        if not task.cancelled() and (fault := task.exception()) is not None:
            logger.error("camera %s cannot go on", self.slug, exc_info=fault)
            self.end()

    def _rest(self) -> None:
        """Stop capturing; the task's own cleanup ends and reaps the child."""
        self._leaving = None
        if self._capturing is not None:
            self._capturing.cancel()
            self._capturing = None
        self.latest = self.offered = self.failure = self._rhythm = self._placeholder = None
        self._down.clear()
        self._news.set()

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as both:
            both.create_task(self._announce())
            both.create_task(self._capture())

    async def _capture(self) -> None:
        """Run the source as long as it is wanted; wait longer after each failure in a row."""
        backoff = Backoff(*BACKOFF)
        while True:
            started = time.monotonic()
            failure = await self._run_source()
            if failure is not None:
                self._fail(failure)
                await asyncio.sleep(backoff.after(time.monotonic() - started))

    async def _run_source(self) -> Failure | None:
        """Publish the pictures of one run; returns why it ended, None if it is to be opened another way."""
        capture: Capture | None = None
        now = self._now
        rhythm = Rhythm(now())
        try:
            async with opened(self._executable, self.source, self.terms, copy=self._copy) as capture:
                rhythm = Rhythm(now(), capture.every)
                while True:
                    async with asyncio.timeout_at(rhythm.deadline):
                        frames = await capture.read()
                    for frame in frames:
                        rhythm.note(now())
                        self._rhythm, self.facts = rhythm, capture.facts
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
            self._copy = self.source.kind is DEVICE  # what it gives may have changed
        return failure

    def _fail(self, failure: Failure) -> None:
        self.failure = self.last_failure = failure
        self._rhythm = None
        self._down.set()
        self._news.set()
        logged, at = self._logged
        if failure != logged or time.monotonic() - at > LOG_AGAIN:
            self._logged = failure, time.monotonic()
            logger.warning("camera %s (%s): %s", self.slug, self.source, failure)

    def _publish(self, frame: Frame) -> None:
        if self._capturing is None:
            return  # it rests since this turn of the loop: kept, the picture would be the next viewer's first
        if self.failure is not None:
            self._logged = None, 0.0
            logger.info("camera %s gives pictures again", self.slug)
        self.latest, self.failure, self._placeholder = frame, None, None
        self._down.clear()
        self._news.set()
        if self.facts is not None and self.facts.copied and not self._pace.due(time.monotonic()):
            return  # what FFmpeg made is no more already
        if self.terms.drop_identical and self._is_shown(frame):
            self._left_out += 1
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

    async def _announce(self) -> None:
        """While no picture comes, offer one every second that says so."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(KEEPALIVE):
                    await self._down.wait()
            down = self._down.is_set()
            rest = self._offered_at + (ANNOUNCE if down else KEEPALIVE) - time.monotonic()
            if rest > 0:
                await asyncio.sleep(rest if down else 0)
                continue
            self._offered_at = time.monotonic()
            if not self._viewers:
                continue
            frame = await self.stand_in() if down else self.offered
            if frame is not None and (self._down.is_set() or frame is self.offered):
                self._offer(frame)

"""A camera: where the one producer and its viewers meet.

The producer never waits. The first viewer starts the source, and it stops a linger after the last has gone, so that a
reload does not restart it. One that is kept on runs without viewers too.

A source that fails or stalls is started again (producer.py), and the viewers stay meanwhile (audience.py).
"""

import asyncio
import logging
import time
from collections.abc import Callable

from mediastream import drain
from mediastream.live.audience import Audience
from mediastream.live.condition import Condition, State
from mediastream.live.failures import Failure
from mediastream.live.frames import Frame
from mediastream.live.latest import Latest
from mediastream.live.producer import Producer
from mediastream.live.rhythm import Pace
from mediastream.live.terms import Terms
from mediastream.live.viewer import Viewer

logger = logging.getLogger(__name__)

LOG_AGAIN = 300.0  # seconds after which a failure that stays is logged again

on_start: list[Callable[[str, Terms], None]] = []  # who wants to know that a camera is started, by which slug


class Camera:
    """One source, captured once. Lives on the home loop; `close` ends everything it owns."""

    def __init__(self, slug: str, terms: Terms, executable: str, linger: float) -> None:
        self.slug = slug
        self.terms = terms
        self.source = terms.parsed()
        self.latest = Latest()
        self.audience = Audience(drop_identical=terms.drop_identical)
        self.closed = False
        self._producer = Producer(self.source, terms, executable, self._publish, self._fail)
        self._now = asyncio.get_running_loop().time
        self._linger = linger
        self._kept = False
        self._capturing: asyncio.Task[None] | None = None
        self._captures: set[asyncio.Task[None]] = set()  # that one, and those still ending their child
        self._leaving: asyncio.TimerHandle | None = None
        self._pace = Pace(terms.fps)
        self._logged: tuple[Failure | None, float] = (None, 0.0)
        self._release_drain: Callable[[], None] = lambda: None  # on_begin calls `end` at once if the process drains
        self._release_drain = drain.on_begin(self.end)

    @property
    def viewers(self) -> int:
        return len(self.audience)

    @property
    def state(self) -> State:
        if self._capturing is None:
            return State.RESTING
        if self.latest.failure is not None:
            return State.RECONNECTING
        rhythm = self._producer.rhythm
        if self.latest.frame is None or rhythm is None:
            return State.STARTING
        return State.LATE if rhythm.late(self._now()) else State.LIVE

    @property
    def condition(self) -> Condition:
        """Any thread may ask."""
        frame, rhythm = self.latest.frame, self._producer.rhythm
        skips, of_video = self.audience.counted()
        return Condition(
            self.state,
            frame.captured if frame is not None else None,
            self.latest.last_failure,
            self._producer.facts,
            rhythm.rate if rhythm is not None else None,
            skips,
            self.audience.left_out,
            of_video,
        )

    def join(self, fps: float | None = None, through: Callable[[], int] | None = None) -> Viewer:
        """A place for one more viewer, who gets the last frame at once; starts the source if it rests."""
        viewer = Viewer(fps, through)
        if self.closed:
            viewer.end()
            return viewer
        self.audience.join(viewer)
        self._start_or_leave()
        return viewer

    def leave(self, viewer: Viewer) -> None:
        self.audience.leave(viewer)
        self._start_or_leave()

    def keep(self, on: bool) -> None:
        """Whether it is to run without viewers too."""
        self._kept = on
        self._start_or_leave()

    def _start_or_leave(self) -> None:
        if self.closed:
            return
        if self.audience or self._kept:
            if self._leaving is not None:
                self._leaving.cancel()
                self._leaving = None
            if self._capturing is None:
                self._start()
        elif self._capturing is not None and self._leaving is None:
            self._leaving = asyncio.get_running_loop().call_later(self._linger, self._rest)

    def end(self) -> None:
        """End the viewers and the source now; `close` also waits until the child is reaped."""
        self._release_drain()
        self.closed = True
        self.audience.end()
        self.latest.end()
        self._rest()

    async def close(self) -> None:
        self.end()
        if self._captures:
            await asyncio.wait(self._captures)

    def _start(self) -> None:
        for tell in on_start:
            tell(self.slug, self.terms)
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
        self._producer.rhythm = None
        self.audience.forget()
        self.latest.forget()

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as both:
            both.create_task(self.audience.announce(self.latest))
            both.create_task(self._producer.run())

    def _fail(self, failure: Failure) -> None:
        self.latest.fail(failure)
        logged, at = self._logged
        if failure != logged or time.monotonic() - at > LOG_AGAIN:
            self._logged = failure, time.monotonic()
            logger.warning("camera %s (%s): %s", self.slug, self.source, failure)

    def _publish(self, frame: Frame) -> None:
        if self._capturing is None:
            return  # it rests since this turn of the loop: kept, the picture would be the next viewer's first
        if self.latest.failure is not None:
            self._logged = None, 0.0
            logger.info("camera %s gives pictures again", self.slug)
        self.latest.publish(frame)
        facts = self._producer.facts
        if facts is not None and facts.copied and not self._pace.due(time.monotonic()):
            return  # what FFmpeg made is no more already
        self.audience.show(frame)

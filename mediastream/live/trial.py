"""A source opened once to see what it gives, beside the camera that may have it open already.

An administrator who types an address wants to know at once whether it is right, and a camera tells only that it
fails, when somebody watches. So a trial opens the source on the terms at hand, looks for a moment and lets it go.
Each may cost an FFmpeg and a connection for some seconds: there are few at a time, and each has an end.
"""

import asyncio
import time
from dataclasses import dataclass

from mediastream import drain
from mediastream.errors import Busy
from mediastream.live.capture import Capture, OtherWay, opened
from mediastream.live.facts import Facts
from mediastream.live.failures import CaptureFailed, Failure, Reason
from mediastream.live.frames import Frame, FrameTooLarge
from mediastream.live.sources import DEVICE
from mediastream.live.terms import Terms

DEADLINE = 12.0  # seconds: an RTSP camera may take ten for its first picture
LOOK = 1.5  # seconds after the first picture, to see how many come
MOST = 3  # at a time
FEW = 5  # pictures by which a rate can be told

_under_way = 0


@dataclass(frozen=True)
class Trial:
    """`frame`: the last picture, `seconds`: until the first, or until it failed; `rate`: pictures a second that
    came. Both a picture and a failure, where the source gave some and then ended."""

    seconds: float
    frame: Frame | None
    facts: Facts | None
    rate: float | None
    failure: Failure | None


async def attempt(executable: str, terms: Terms) -> Trial:
    """On the home loop. Raises Busy, and SourceInvalid."""
    global _under_way
    if _under_way >= MOST:
        raise Busy(f"{MOST} sources are being tested now; try again in a moment.", retry_after=5)
    _under_way += 1
    try:
        return await _Look(executable, terms).trial()
    finally:
        _under_way -= 1


class _Look:
    def __init__(self, executable: str, terms: Terms) -> None:
        self._executable = executable
        self._terms = terms
        self._source = terms.parsed()
        self._started = time.monotonic()
        self._capture: Capture | None = None
        self._frame: Frame | None = None
        self._count = 0
        self._first = self._last = 0.0

    async def trial(self) -> Trial:
        failure: Failure | None = None
        try:
            async with asyncio.timeout(DEADLINE) as bound:
                release = drain.on_begin(lambda: bound.reschedule(asyncio.get_running_loop().time()))
                try:
                    await self._see()
                finally:
                    release()
        except TimeoutError:
            failure = self._too_late() if self._frame is None else None
        except CaptureFailed as ended:
            failure = ended.failure
        except FrameTooLarge as fault:
            failure = Failure(Reason.NO_VIDEO, f"it sends {fault}")
        until = self._first or time.monotonic()
        facts = self._capture.facts if self._capture is not None else None
        return Trial(until - self._started, self._frame, facts, self._rate(), failure)

    def _too_late(self) -> Failure:
        said = self._capture.said() if self._capture is not None else []
        words = "this server is stopping" if drain.begun() else f"no picture within {DEADLINE:g} seconds"
        return Failure(Reason.TIMED_OUT, words, tuple(said))

    async def _see(self) -> None:
        copy = self._source.kind is DEVICE
        while True:
            try:
                async with opened(self._executable, self._source, self._terms, copy=copy) as self._capture:
                    await self._read(self._capture)
                    return
            except OtherWay as way:
                copy = way.copy

    async def _read(self, capture: Capture) -> None:
        while self._frame is None:
            self._note(await capture.read())
        if capture.every is not None:
            return
        try:
            async with asyncio.timeout(LOOK):
                while True:
                    self._note(await capture.read())
        except TimeoutError:
            pass

    def _note(self, frames: list[Frame]) -> None:
        if not frames:
            return
        self._last = time.monotonic()
        self._first = self._first or self._last
        self._count += len(frames)
        self._frame = frames[-1]

    def _rate(self) -> float | None:
        passed = self._last - self._first
        return (self._count - 1) / passed if self._count >= FEW and passed > LOOK / 3 else None

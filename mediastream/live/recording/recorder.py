"""One camera's recorder: takes the encoded fragments of its camera, and has segments written of them.

It is a viewer of the camera's H.264 like any other, so that a camera that is watched and recorded is encoded once.
It lives on the home loop, and has a thread of its own for the disk: a disk that hangs holds up nobody else, and
what is done to the files is done in order, to the end, whoever is cancelled meanwhile.

A lease on the camera keeps a second process from recording it, as while one worker hands over to the next.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Protocol, TypeVar

from mediastream import bus
from mediastream.errors import NO_ROOM, Fault
from mediastream.live.recording import samples
from mediastream.live.recording.boxes import Mp4Invalid, Track, track
from mediastream.live.recording.draft import Draft, free, salvage
from mediastream.live.recording.names import JOIN
from mediastream.live.recording.samples import Samples
from mediastream.live.recording.shelf import Keep, Shelf
from mediastream.seldom import Seldom

logger = logging.getLogger(__name__)
T = TypeVar("T")

RETRY = 2.0  # seconds until a source or a disk that failed is tried again
LEASE_RETRY = 0.5  # seconds until another process is asked again whether it still records
MARGIN = 64 * 1024 * 1024  # bytes over the reserve with which a full disk counts as having room again
GROUP_BYTES = 4 * 1024 * 1024  # of pictures that wait to be written
GROUP_SECONDS = 4.0
QUIET = 5.0  # seconds without a picture after which the open segment is ended


class State(Enum):
    OFF = "off"
    ELSEWHERE = "elsewhere"  # another process of this host records it
    WAITING = "waiting"  # for the camera's pictures
    RECORDING = "recording"
    NO_ROOM = "no_room"
    FAILED = "failed"  # the disk, or what the camera gives


@dataclass(frozen=True)
class Condition:
    """`detail`: for administrators, why; `since`: Unix seconds."""

    state: State
    detail: str
    since: float


@dataclass(frozen=True)
class Order:
    """What is to be recorded, and how. `folder`: its camera's; `seconds`: of one segment; `reserve`: bytes of the
    disk that stay free."""

    camera: int
    folder: Path
    keep: Keep
    seconds: float
    reserve: int


@dataclass(frozen=True, slots=True)
class Piece:
    """One fragment as the encoder gave it. `init`: of its stream; `time`, `duration`: in ticks; `captured`: Unix
    seconds of its first picture."""

    init: bytes
    data: bytes
    time: int
    duration: int
    captured: float


class Pieces(Protocol):
    async def take(self) -> Piece | None:
        """The next, waited for; None when there will be no more."""

    def trouble(self) -> str:
        """Why none comes, for administrators."""


Source = Callable[[], AbstractAsyncContextManager[Pieces]]


class Recorder:
    """`source`: opens the camera's pieces; raises a Fault where there are none."""

    def __init__(self, order: Order, source: Source) -> None:
        self.order = order
        self.condition = Condition(State.WAITING, "", time.time())
        self._source = source
        self._disk = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"recording {order.camera}")
        self._said = Seldom(logger)
        self._shelf: Shelf | None = None
        self._writing = _Writing()

    async def run(self) -> None:
        """Record until cancelled; what is open then is finished."""
        lease = None
        try:
            while (lease := bus.Lease.take(f"recording-{self.order.camera}")) is None:
                self._now(State.ELSEWHERE)
                await asyncio.sleep(LEASE_RETRY)
            while True:
                await self._try()
                await asyncio.sleep(RETRY)
        finally:
            self._disk.shutdown(wait=False)  # what was begun goes on
            if lease is not None:
                lease.release()

    async def _try(self) -> None:
        """Record until something goes wrong, and say what it was."""
        try:
            if await self._do(self._prepare):
                await self._record()
                self._now(State.WAITING)
        except OSError as fault:
            full = fault.errno in NO_ROOM
            self._now(State.NO_ROOM if full else State.FAILED, fault.strerror or str(fault))
        except Mp4Invalid as fault:
            self._now(State.FAILED, f"its H.264 cannot be kept: {fault}")
        except Fault as fault:
            self._now(State.WAITING, fault.detail)
        except Exception as fault:  # what nobody thought of must not leave a camera unrecorded for good
            logger.exception("recording camera %d", self.order.camera)
            self._now(State.FAILED, str(fault) or type(fault).__name__)

    def _now(self, state: State, detail: str = "") -> None:
        if (state, detail) == (self.condition.state, self.condition.detail):
            return
        self.condition = Condition(state, detail, time.time())
        if state in (State.NO_ROOM, State.FAILED):
            self._said.warning("camera %d is not recorded: %s", self.order.camera, detail)

    async def _record(self) -> None:
        self._writing = _Writing()
        try:
            async with self._source() as pieces:
                while (piece := await self._next(pieces)) is not None:
                    await self._take(piece)
                    if self._writing.written:  # a disk that fails would else seem to record again and again
                        self._now(State.RECORDING)
        finally:
            await self._finish_in_order()

    async def _finish_in_order(self) -> None:
        """After all that was begun, also by whoever was cancelled meanwhile. Raises OSError."""
        try:
            await asyncio.shield(self._do(self._finish))
        except OSError as fault:
            task = asyncio.current_task()
            if task is None or not task.cancelling():
                raise
            logger.warning("the end of a recording is left to be saved at the next start: %s", fault)

    async def _next(self, pieces: Pieces) -> Piece | None:
        while True:
            try:
                async with asyncio.timeout(QUIET):
                    return await pieces.take()
            except TimeoutError:
                await self._do(self._finish)
                await self._do(self._retain)
                self._now(State.WAITING, pieces.trouble())

    async def _take(self, piece: Piece) -> None:
        writing = self._writing
        if writing.init is not piece.init and writing.init != piece.init:
            await self._do(self._finish)
            writing = self._writing = _Writing(piece.init, track(piece.init))
        elif writing.breaks(piece):
            await self._do(self._finish)
        assert writing.track is not None
        found = samples.read(piece.data, writing.track)
        if found.sync:
            await self._do(self._turn, round(piece.captured * 1000))
        elif writing.draft is None:
            return  # nothing can be decoded from here on
        writing.group.extend(found)
        writing.expected = piece.time + piece.duration
        if writing.group.bytes > GROUP_BYTES or writing.group.duration > GROUP_SECONDS * writing.track.timescale:
            await self._do(self._flush)

    async def _do(self, work: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._disk, work, *arguments)

    # In the thread from here on.

    def _prepare(self) -> bool:
        """Bring the folder in order; whether there is room to record. Raises OSError."""
        if self._shelf is None:
            self.order.folder.mkdir(parents=True, exist_ok=True)
            self._shelf = Shelf(self.order.folder)
        for segment, size in salvage(self.order.folder):
            logger.info("saved what was being recorded: %s", segment.name)
            self._shelf.add(segment, size)
        self._retain()
        return self.condition.state is not State.NO_ROOM or self._has_room()

    def _retain(self) -> None:
        assert self._shelf is not None
        self._shelf.retain(self.order.keep, round(time.time() * 1000))

    def _has_room(self) -> bool:
        return free(self.order.folder) >= self.order.reserve + MARGIN

    def _turn(self, now: int) -> None:
        """A key frame comes, captured at this moment: end the segment if it is long enough; see that one is open."""
        writing, shelf = self._writing, self._shelf
        assert writing.init is not None
        assert shelf is not None
        self._flush()
        draft = writing.draft
        if draft is not None and (draft.full or draft.seconds >= self.order.seconds):
            self._finish(now)
        if writing.draft is None:
            # Within a stretch, segments do not overlap: jitter of the times would change what a span is made of.
            start = shelf.end if shelf.end - JOIN < now < shelf.end else now
            writing.draft = Draft(self.order.folder, writing.init, start, self.order.reserve)

    def _flush(self) -> None:
        writing = self._writing
        group, writing.group = writing.group, Samples()
        if group.rows and writing.draft is not None:
            writing.draft.add(group)
            writing.written = True

    def _finish(self, until: int | None = None) -> None:
        """End the open segment, if there is one. `until`: when the next begins, in Unix milliseconds."""
        writing, shelf = self._writing, self._shelf
        try:
            self._flush()
        finally:
            draft, writing.draft = writing.draft, None
            if draft is not None and shelf is not None:
                made = draft.finish(until)
                if made is not None:
                    shelf.add(*made)
                    self._retain()


class _Writing:
    """What is being written: of which stream, the open segment, and the pictures that wait."""

    def __init__(self, init: bytes | None = None, its: Track | None = None) -> None:
        self.init, self.track = init, its
        self.draft: Draft | None = None
        self.group = Samples()
        self.written = False  # whether anything has been
        self.expected: int | None = None  # ticks at which the next piece begins

    def breaks(self, piece: Piece) -> bool:
        """Whether something is missing before it."""
        if self.expected is None or self.track is None:
            return False
        return abs(piece.time - self.expected) > self.track.timescale

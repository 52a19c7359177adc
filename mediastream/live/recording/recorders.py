"""The recorders of this process, by the number of their camera; on the home loop.

Which cameras are recorded is decided elsewhere (changes.py) and told here as a whole. What is kept of cameras that
are recorded no longer is looked after here too: it goes when its time is over.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from mediastream import bus, drain
from mediastream.live.recording import source
from mediastream.live.recording.draft import salvage
from mediastream.live.recording.recorder import Order, Recorder, State
from mediastream.live.recording.shelf import Keep, Shelf, cameras, folder_of, sweep_removed
from mediastream.live.terms import Terms

logger = logging.getLogger(__name__)

SWEEP_EVERY = 3600.0  # seconds

Kept = Callable[[], Awaitable[dict[int, Keep]]]  # what is kept of each camera, out of the database


@dataclass(frozen=True)
class Wanted:
    """A camera to be recorded, and the order for it."""

    slug: str
    terms: Terms
    order: Order


_running: dict[int, tuple[Wanted, Recorder, asyncio.Task[None]]] = {}
_ending: set[asyncio.Task[None]] = set()
_sweeping: asyncio.Task[None] | None = None


async def arrange(wanted: dict[int, Wanted], executable: str, root: Path, kept: Kept) -> None:
    """From now on these are recorded, and no others."""
    global _sweeping
    if drain.begun():
        return
    for camera in [camera for camera, running in _running.items() if wanted.get(camera) != running[0]]:
        _end(camera)
    for camera, asked in wanted.items():
        if camera not in _running:
            _start(camera, asked, executable)
    if _sweeping is None:
        _sweeping = asyncio.create_task(_sweep(root, kept), name="sweeping recordings")


def _start(camera: int, asked: Wanted, executable: str) -> None:
    recorder = Recorder(asked.order, lambda: source.pieces(asked.slug, asked.terms, executable))
    task = asyncio.create_task(recorder.run(), name=f"recording {asked.slug}")
    task.add_done_callback(_log_failure)
    _running[camera] = asked, recorder, task


def _log_failure(task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and (fault := task.exception()) is not None:
        logger.error("a recorder cannot go on", exc_info=fault)


def _end(camera: int) -> None:
    """Its open segment is finished; `close_all` waits for that, and so does the camera's next recorder, as the lease
    is given back after it."""
    _, _, task = _running.pop(camera)
    task.cancel()
    _ending.add(task)
    task.add_done_callback(_ending.discard)


def state_of(camera: int, wanted: bool) -> tuple[State, str]:
    """How its recording is, and why, for administrators. Any thread may ask. `wanted`: whether it is to be recorded;
    where this process does not, another does."""
    if not wanted:
        return State.OFF, ""
    running = _running.get(camera)
    if running is None:
        return State.ELSEWHERE, ""
    condition = running[1].condition
    return condition.state, condition.detail


async def close_all() -> None:
    """End all, and wait until what was open is on the disk."""
    global _sweeping
    for camera in list(_running):
        _end(camera)
    tasks = [*_ending]
    if _sweeping is not None:
        _sweeping.cancel()
        tasks.append(_sweeping)
        _sweeping = None
    await asyncio.gather(*tasks, return_exceptions=True)


async def _sweep(root: Path, kept: Kept) -> None:
    while True:
        try:
            await asyncio.to_thread(sweep, root, await kept())
        except Exception:
            logger.exception("old recordings could not be looked after")
        await asyncio.sleep(SWEEP_EVERY)


def sweep(root: Path, keeps: dict[int, Keep]) -> None:
    """Remove what is left of deleted cameras, and what is too old of those that nobody records now."""
    sweep_removed(root)
    for camera in cameras(root):
        keep = keeps.get(camera)
        lease = bus.Lease.take(f"recording-{camera}") if keep is not None else None
        if keep is None or lease is None:  # of a camera that is recorded, or that this database never had
            continue
        try:
            folder = folder_of(root, camera)
            salvage(folder)
            Shelf(folder).retain(keep, round(time.time() * 1000))
        finally:
            lease.release()

"""FFmpeg at work for a job: its progress read, its idleness and its end judged. On the home loop."""

import asyncio
import errno
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import psutil

from mediastream.errors import DiskFull
from mediastream.ffmpeg import cleaned, last_words
from mediastream.limits import Limits
from mediastream.process import Child
from transcode.jobs.progress import NotProgress, Progress, ProgressReader

LOOK = 1.0  # seconds
TAIL = 20  # lines shown
NO_ROOM = os.strerror(errno.ENOSPC)
FILE_TOO_LARGE = 25  # SIGXFSZ: the limit on its output, which is what the disk has


NOTHING = Progress()


class JobFailed(Exception):
    """The job cannot be done; the text says why, fit for a person."""


@dataclass
class Report:
    """How far the present child is: written at home, read by the attempt's thread. `duration`: seconds of it all."""

    duration: float | None = None
    progress: Progress = NOTHING
    lines: tuple[str, ...] = ()

    def shown(self) -> tuple[float | None, float | None, str]:
        """Per cent, speed, tail."""
        percent = self.progress.percent(self.duration)
        rounded = None if percent is None else round(percent, 1)
        return rounded, self.progress.speed, "\n".join(self.lines)


@dataclass(frozen=True)
class Bounds:
    """`deadline`: seconds for all of it; `idle`: seconds in which it neither tells of progress, computes nor reads."""

    limits: Limits
    deadline: float
    idle: float


async def encode(argv: Sequence[str], bounds: Bounds, report: Report) -> None:
    """Run FFmpeg, which writes `-progress` to its stdout, to a good end.

    Raises JobFailed when it fails, is idle or takes too long; DiskFull; OSError if it cannot be started.
    """
    child = Child.spawn(argv, bounds.limits)
    try:
        async with asyncio.timeout(bounds.deadline):
            await _follow(child, bounds.idle, report)
            returncode = await child.wait()
    except TimeoutError:
        raise JobFailed(f"FFmpeg did not finish within {bounds.deadline:g} seconds.") from None
    except NotProgress as fault:
        raise JobFailed(f"FFmpeg's progress cannot be read: {fault}.") from None
    finally:
        await child.stop()
        report.lines = _tail(child)
    if returncode != 0:
        raise why(returncode, child.stderr)


async def _follow(child: Child, idle: float, report: Report) -> None:
    reader, work = ProgressReader(), _Work(child.pid)
    while True:
        try:
            async with asyncio.timeout(LOOK):
                data = await child.read(4096)
        except TimeoutError:
            data = None
        if data == b"":
            return
        for progress in reader.feed(data or b""):
            if progress != report.progress:
                report.progress = progress
                # The speed alone changes while nothing comes, as it is an average.
                work.seen(replace(progress, speed=None))
        report.lines = _tail(child)
        if work.idle_for() > idle:
            raise JobFailed(f"FFmpeg did nothing for {idle:g} seconds, and was ended.")


class _Work:
    """When a child last did something. FFmpeg 7 tells its progress from a thread of its own, stuck or not; and
    while it moves an index to the front it has nothing to tell, but reads and writes."""

    def __init__(self, pid: int) -> None:
        self._process: psutil.Process | None = None
        with suppress(psutil.Error):
            self._process = psutil.Process(pid)
        self._last: object = None
        self._told: object = None
        self._since = time.monotonic()

    def seen(self, progress: Progress) -> None:
        if progress != self._told:
            self._told = progress
            self._since = time.monotonic()

    def idle_for(self) -> float:
        now = self._measured()
        if now != self._last:
            self._last, self._since = now, time.monotonic()
        return time.monotonic() - self._since

    def _measured(self) -> object:
        """Processor seconds in halves, as telling the time costs some, and bytes read by the kernel for it."""
        try:
            assert self._process is not None
            times, io = self._process.cpu_times(), self._process.io_counters()
        except (psutil.Error, AssertionError, OSError):
            return None
        return int((times.user + times.system) * 2), io.read_chars


def _tail(child: Child) -> tuple[str, ...]:
    return tuple(cleaned(line) for line in child.stderr.splitlines()[-TAIL:])


def why(returncode: int, stderr: str) -> Exception:
    if NO_ROOM in stderr or returncode == -FILE_TOO_LARGE:
        return DiskFull("The server's disk is full; nothing was changed. Delete something, then try again.")
    if returncode < 0 and not stderr.strip():
        return JobFailed(f"FFmpeg was ended by signal {-returncode}.")
    return JobFailed(f"FFmpeg failed: {last_words(stderr)}.")

"""Which encoder this machine really has: tried once at start, in the background, with an encode of one picture.

That a driver is there says little: it may lack the codec, the right to the device, or a free session. Until the trials
are over, and when all have failed, software encodes.
"""

import asyncio
import glob
import logging
from dataclasses import dataclass

from mediastream import process
from mediastream.ffmpeg import last_words
from mediastream.process import ChildTimeout
from transcode import argv
from transcode.encoders import BY_NAME, HARDWARE, SOFTWARE, Encoder

logger = logging.getLogger(__name__)
DEADLINE = 10.0  # seconds; a driver that has to wake its card takes two


@dataclass(frozen=True)
class Trial:
    """`why`: it does not work; "" if it does."""

    encoder: Encoder
    why: str

    def __str__(self) -> str:
        return f"{self.encoder.name}: {self.why or 'works'}"


_chosen = SOFTWARE
_trials: tuple[Trial, ...] = ()
_task: "asyncio.Task[None] | None" = None


def chosen() -> Encoder:
    return _chosen


def trials() -> tuple[Trial, ...]:
    return _trials


def begin(wanted: str, executable: str) -> None:
    """On the home loop. `wanted`: a name of encoders.NAMES."""
    global _task
    _task = asyncio.create_task(_find(wanted, executable), name="hardware trials")


async def known(wanted: str, executable: str) -> None:
    """Wait until the trials are over; a process that serves nobody, such as the job worker's, holds them here."""
    if _task is None:
        begin(wanted, executable)
    assert _task is not None
    await asyncio.shield(_task)


async def end() -> None:
    global _task, _chosen, _trials
    task, _task = _task, None
    if task is not None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    _chosen, _trials = SOFTWARE, ()


async def _find(wanted: str, executable: str) -> None:
    global _chosen, _trials
    if wanted == SOFTWARE.name:
        return
    for encoder in HARDWARE if wanted == "auto" else (BY_NAME[wanted],):
        trial = Trial(encoder, await attempt(encoder, executable))
        _trials = (*_trials, trial)
        logger.info("hardware encoder %s", trial)
        if not trial.why:
            _chosen = encoder
            break
    level = logging.WARNING if wanted not in ("auto", _chosen.name) else logging.INFO
    logger.log(level, "video is encoded by %s (%s)", _chosen.name, _chosen.codec)


async def attempt(encoder: Encoder, executable: str) -> str:
    """Why it does not work here; "" if it does."""
    if encoder.needs and not await asyncio.to_thread(glob.glob, encoder.needs):
        return f"there is no {encoder.needs}"
    try:
        finished = await process.run(argv.trial(executable, encoder), DEADLINE, encoder.limits)
    except (ChildTimeout, OSError) as fault:
        return str(fault)
    return "" if finished.returncode == 0 else last_words(finished.stderr)

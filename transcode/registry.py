"""The transcodes of this process, and the bound on how many run at once. Lives on the home loop."""

import asyncio
from functools import partial

from mediastream import chunking, drain
from mediastream.bodies import ProcessBody
from mediastream.errors import Busy, TranscodeFailed, system_fault
from mediastream.ffmpeg import last_words
from mediastream.limits import Limits
from mediastream.process import Child
from transcode.encoders import SOFTWARE_LIMITS

FIRST_BYTE = 20.0  # seconds FFmpeg may take to its first byte: opening, seeking, the first group of pictures
RETRY_AFTER = 5  # seconds

LIMITS = SOFTWARE_LIMITS

LIGHT = 8  # copies and encoders of sound for each place of an encoder of video: they take a twentieth of it

_running = {False: 0, True: 0}  # by whether they are light


class Silent(Busy):
    """FFmpeg gives nothing for too long: the machine is slow, or what it waits for hangs."""


def running(light: bool = False) -> int:
    """Transcodes under way now."""
    return _running[light]


async def open_transcode(
    argv: list[str], limit: int, most: int = chunking.MOST, limits: Limits = LIMITS, light: bool = False
) -> ProcessBody:
    """Start FFmpeg and wait for its first bytes, so that a failure can still be an HTTP error.

    `limit`: how many may run at once; `most`: bytes of a chunk; `limits`: of FFmpeg; `light`: it encodes no
    video. Raises Busy past that limit and when no byte comes in time, TranscodeFailed when FFmpeg ends without one. The
    body owns the child and its place from here on.
    """
    take_place(limit, light)
    give_back = partial(give_place_back, light)
    try:
        child = _spawn(argv, limits, light)
        release = drain.on_begin(child.kill)
        try:
            return ProcessBody(child, await _first_bytes(child), give_back, most)
        except BaseException:
            await child.stop()
            raise
        finally:
            release()
    except BaseException:
        give_back()
        raise


def take_place(limit: int, light: bool = False) -> None:
    """For one FFmpeg more, which gives it back. Raises Busy."""
    limit *= LIGHT if light else 1
    if _running[light] >= limit:
        raise Busy(f"All {limit} places for transcoding are taken; try again in a moment.", RETRY_AFTER)
    _running[light] += 1


def give_place_back(light: bool = False) -> None:
    _running[light] -= 1


def _spawn(argv: list[str], limits: Limits, wide: bool) -> Child:
    try:
        return Child.spawn(argv, limits, wide=wide)
    except OSError as fault:
        raise system_fault(fault) or TranscodeFailed(f"FFmpeg cannot be started: {fault.strerror}.") from None


async def _first_bytes(child: Child) -> bytes:
    try:
        async with asyncio.timeout(FIRST_BYTE):
            first = await child.read(chunking.FIRST)
    except TimeoutError:
        raise Silent(f"FFmpeg gave nothing within {FIRST_BYTE:g} seconds; try again.", RETRY_AFTER) from None
    if not first:
        await child.wait()
        if drain.begun():
            raise Busy("The server is stopping; try again in a moment.", RETRY_AFTER)
        raise TranscodeFailed(f"This file cannot be transcoded: {last_words(child.stderr)}.")
    return first

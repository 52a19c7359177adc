"""The topic `sessions`, for administrators: the open streams of this process, once a second while something changes.

Each event tells of all of them, so who comes late or misses one has lost nothing. What carries the topic itself is
left out: it would have something to tell of each of its own events.
"""

import asyncio
import logging

from django.db import Error

from mediastream import streams
from mediastream.feeds import families, hub
from mediastream.feeds.events import Event
from mediastream.feeds.terms import Policy, Terms
from mediastream.open_streams import listing
from mediastream.open_streams.listing import Names, Seen
from mediastream.request_threads import shared_threads

logger = logging.getLogger(__name__)

NAME = "sessions"
EVERY = 1.0  # seconds

_telling: asyncio.Task[None] | None = None
_ending: set[asyncio.Task[None]] = set()


def register() -> None:
    terms = Terms(Policy.CONFLATE, history=1)
    families.register(families.Family(NAME, families.administrators, terms, read=_read))


def _read(_rest: str, is_read: bool) -> None:
    global _telling
    if (task := _telling) is not None:
        _telling = None
        task.cancel()
        _ending.add(task)
        task.add_done_callback(_ending.discard)
    if is_read:
        _telling = asyncio.create_task(_tell(), name="open streams")


async def _tell() -> None:
    loop = asyncio.get_running_loop()
    before, looked = _bytes(_seen()), loop.time() - EVERY
    told: dict[int, int] | None = None
    while True:
        seen, now = _seen(), loop.time()
        sizes = _bytes(seen)
        if sizes != told:
            try:
                names = await _names(listing.shown(seen))
                await hub.apublish(NAME, Event(listing.told(seen, before, now - looked, names)))
                told = sizes
            except Exception:  # the topic's readers would wait for what nobody tells them
                logger.exception("open streams are not told of this time")
        before, looked = sizes, now
        await asyncio.sleep(EVERY)


async def _names(seen: list[Seen]) -> Names:
    """Without a database the streams go on, and are told of by their ids."""
    try:
        async with shared_threads():
            return await listing.names_of(seen)
    except Error as fault:
        logger.warning("open streams are told of without names: %s", fault)
        return Names({}, {})


def _seen() -> list[Seen]:
    found = [Seen.of(stream) for stream in streams.open_streams()]
    return [stream for stream in found if not (stream.item == NAME and stream.kind.startswith("feed"))]


def _bytes(seen: list[Seen]) -> dict[int, int]:
    return {stream.number: stream.bytes for stream in seen}


async def close_all() -> None:
    _read("", False)
    await asyncio.gather(*_ending, return_exceptions=True)

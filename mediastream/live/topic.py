"""The topic `live.<slug>`: how a camera is and how many watch it, for whoever may see the camera.

It is told while somebody reads it, and only when there is something to tell: the state, the number of viewers, or that
pictures still come, which a page must hear before it calls the last one old.
"""

import asyncio
import time
from typing import Any

from mediastream.feeds import families, hub
from mediastream.feeds.events import Event
from mediastream.feeds.terms import Policy, Terms
from mediastream.live import registry
from mediastream.live.known import right_to

PREFIX = "live."
LOOK_EVERY = 0.5  # seconds
PICTURES_EVERY = 3.0  # seconds between two events that tell of a newer picture alone; pages tell ages from five on

_telling: dict[str, asyncio.Task[None]] = {}
_ending: set[asyncio.Task[None]] = set()


def register() -> None:
    terms = Terms(Policy.CONFLATE, history=1)
    families.register(families.Family(PREFIX, right_to, terms, read=_read))


def _read(slug: str, is_read: bool) -> None:
    if is_read:
        _telling[slug] = asyncio.create_task(_tell(slug), name=f"state of camera {slug}")
    elif (task := _telling.pop(slug, None)) is not None:
        task.cancel()
        _ending.add(task)
        task.add_done_callback(_ending.discard)


async def _tell(slug: str) -> None:
    told, at = None, 0.0
    while True:
        now = registry.condition(slug)
        shown = now.state.value, now.viewers
        newer = now.captured is not None and time.monotonic() - at > PICTURES_EVERY
        if told is None or shown != told[:2] or (newer and now.captured != told[2]):
            told, at = (*shown, now.captured), time.monotonic()
            await hub.apublish(PREFIX + slug, Event(_said(*told)))
        await asyncio.sleep(LOOK_EVERY)


def _said(state: str, viewers: int, captured: float | None) -> dict[str, Any]:
    """`time`: by which a page knows how old the picture is, whatever its own clock says."""
    said = {"state": state, "viewers": viewers, "time": round(time.time(), 3)}
    return said if captured is None else {**said, "captured": round(captured, 3)}


async def close_all() -> None:
    for slug in list(_telling):
        _read(slug, False)
    await asyncio.gather(*_ending, return_exceptions=True)

"""A topic of a family while what it is to hold is asked for. Lives on the home loop.

Whoever says something stores it first and publishes it then. So what is published while the database is asked may be
in its answer or not, and an event that is in both is there once.
"""

import asyncio
from collections import deque
from collections.abc import Callable

from mediastream.feeds.events import RETRACT, Event
from mediastream.feeds.families import Family
from mediastream.feeds.feed import Feed


class Opening:
    """`open_feed`: makes the feed, once there is something to put into it; `task`: gives it, filled."""

    def __init__(self, family: Family, rest: str, open_feed: Callable[[], Feed]) -> None:
        self._open_feed = open_feed
        self._meanwhile: deque[Event] = deque(maxlen=family.terms.history)
        self.task = asyncio.create_task(self._run(family, rest), name=f"opening {family.prefix}{rest}")

    def take(self, event: Event) -> None:
        """It was published meanwhile."""
        self._meanwhile.append(event)

    async def _run(self, family: Family, rest: str) -> Feed:
        past = await family.past(rest)
        there = {event.key for event in past if event.key}
        meanwhile = [event for event in self._meanwhile if event.name == RETRACT or event.key not in there]
        feed = self._open_feed()
        for event in [*past, *meanwhile]:
            feed.append(event)
        return feed

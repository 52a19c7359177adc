"""A topic of a family, from when what it is to hold is asked for. Lives on the home loop.

Whoever says something stores it first and publishes it then. So what is published while the database is asked may be
in its answer or not, and what is in its answer may be published at any time after it: its publisher's thread may get no
turn between the two, or come from another process. An event that is in both is there once.
"""

import asyncio
from collections import deque
from collections.abc import Callable

from mediastream.feeds.events import Event
from mediastream.feeds.families import Family
from mediastream.feeds.feed import Feed


class Opening:
    """Kept as long as its topic. `open_feed`: makes the feed, once there is something to put into it; `task`: gives it,
    filled."""

    def __init__(self, family: Family, rest: str, open_feed: Callable[[], Feed]) -> None:
        self._open_feed = open_feed
        self._meanwhile: deque[Event] = deque(maxlen=family.terms.history)
        self._past: dict[str, Event] | None = None  # by key, until something is published under it; None: not known
        self.task = asyncio.create_task(self._run(family, rest), name=f"opening {family.prefix}{rest}")

    def take(self, event: Event) -> bool:
        """It is published; whether that is seen to here: it goes in when the topic opens, or is there already."""
        if self._past is None:
            self._meanwhile.append(event)
            return True
        known = self._past.pop(event.key, None)
        # What is said after something else under the key is news, such as a message that is shown again.
        return known is not None and (known.name, known.json) == (event.name, event.json)

    async def _run(self, family: Family, rest: str) -> Feed:
        past = await family.past(rest)
        feed = self._open_feed()
        self._past = {event.key: event for event in past if event.key}
        for event in past:
            feed.append(event)
        while self._meanwhile:
            event = self._meanwhile.popleft()
            if not self.take(event):
                feed.append(event)
        return feed

"""One subscriber's place at a topic: how far it has come, and no more. Lives on the home loop.

The events lie in the topic's history, for all; so a place costs the same for who is behind by a thousand events, and is
bounded by what the history holds. A subscriber either has its events written to its connection by the topic
(`attach`), or takes them (`take`).
"""

import asyncio
from enum import Enum
from typing import TYPE_CHECKING

from mediastream.broadcast import Shared, Sink
from mediastream.feeds.batch import Batch, Want

if TYPE_CHECKING:
    from mediastream.feeds.compressed import Coded
    from mediastream.feeds.feed import Feed
    from mediastream.feeds.together import Together


class Catching(Enum):
    """How a subscriber that is behind is brought up, until it is no longer."""

    ALL = "all"  # it resumes, and is to miss nothing
    LATEST = "latest"  # it begins, and is to know what is now


class Subscriber:
    """Made by `Feed.join`. `opening`: what is sent first; `sent`: the sequence up to which all has been handed over;
    `farewell`: what is sent last; `coded`: its stream where that is compressed; `sink`: where it is written to."""

    __slots__ = (
        "_alarm", "_news", "_over", "_until", "catching", "coded", "farewell", "feed", "opening", "sent",
        "sink", "together", "want",
    )  # fmt: skip

    def __init__(self, feed: "Feed", want: Want, sent: int, catching: Catching | None, opening: bytes) -> None:
        self.feed = feed
        self.want = want
        self.sent = sent
        self.catching = catching
        self.opening = opening
        self.farewell = b""
        self.coded: Coded | None = None
        self.sink: Sink | None = None
        self.together: Together | None = None  # whose place is its own meanwhile
        self._news: asyncio.Future[bool] | None = None  # of who waits: whether there is some
        self._until = 0.0
        self._alarm: asyncio.TimerHandle | None = None
        self._over: asyncio.Future[None] | None = None

    @property
    def ended(self) -> bool:
        return self._over is not None and self._over.done()

    def tell(self) -> None:
        """There is news for who takes."""
        if self._news is not None and not self._news.done():
            self._news.set_result(True)

    def end(self, farewell: bytes = b"") -> None:
        """No event comes after this. Safe to repeat."""
        if not self.ended:
            self.farewell = farewell
            if self.sink is not None:
                self.feed.detached(self)
            self._future().set_result(None)
            self.tell()

    def advance(self) -> bool:
        """Have all that waits written; False if the connection would not take it all yet."""
        assert self.sink is not None
        feed, offer = self.feed, self.sink.offer
        while self.sent < feed.head and (batch := self._batch()) is not None:
            if batch.pieces and not offer(batch.joined):
                return False
            self._handed(batch)
        return True

    def say(self, words: Shared) -> None:
        """Have them written, if the connection takes them now."""
        assert self.sink is not None
        if self.coded is None:
            self.sink.offer(words)
        elif self.sink.offer((batch := self.coded.alone(words.plain, self.sent)).joined):
            self.coded.handed(batch)

    def _batch(self) -> Batch | None:
        return self.feed.batch(self) if self.coded is None else self.coded.batch(self)

    def _handed(self, batch: Batch) -> None:
        self.feed.handed(self, batch)
        if self.coded is not None:
            self.coded.handed(batch)

    async def take(self, seconds: float) -> Batch | None:
        """What waits, or comes within that time; None if nothing does, or when it has ended."""
        until = asyncio.get_running_loop().time() + seconds
        while not self.ended:
            if (batch := self._batch()) is not None:
                self._handed(batch)
                if batch.pieces:
                    return batch
            elif not self.ended and not await self._news_before(until):
                break
        return None

    async def _news_before(self, until: float) -> bool:
        """One timer serves many waits: to set one for each event costs as much as sending it."""
        loop = asyncio.get_running_loop()
        self._news, self._until = loop.create_future(), until
        if self._alarm is None:
            self._alarm = loop.call_at(until, self._ring)
        try:
            return await self._news
        finally:
            self._news = None

    def _ring(self) -> None:
        self._alarm = None
        if self._news is None or self._news.done():
            return
        loop = asyncio.get_running_loop()
        if loop.time() < self._until:
            self._alarm = loop.call_at(self._until, self._ring)
        else:
            self._news.set_result(False)

    async def attach(self, sink: Sink) -> None:
        """Have events written to it until the subscriber ends."""
        self.sink = sink
        self.feed.attached(self)
        try:
            await self._future()
        finally:
            self.feed.detached(self)
            self.sink = None

    def leave(self) -> None:
        """Give the place back. Safe to repeat."""
        self.end()
        self.feed.left(self)
        if self._alarm is not None:
            self._alarm.cancel()

    def _future(self) -> "asyncio.Future[None]":
        if self._over is None:
            self._over = asyncio.get_running_loop().create_future()
        return self._over

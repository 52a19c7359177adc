"""A topic as the body of a response: the stream as it goes on, until its reader or its right has gone."""

import asyncio

from mediastream.broadcast import BroadcastBody, Sink
from mediastream.feeds.events import Format
from mediastream.feeds.feed import HEARTBEAT
from mediastream.feeds.subscriber import Subscriber
from mediastream.http import sse


class FeedBody(BroadcastBody):
    """Owns its subscriber. Chunks are whole events, one or many."""

    closes_at_once = True

    def __init__(self, subscriber: Subscriber) -> None:
        self.subscriber = subscriber
        self._asked = 0  # for how many chunks
        self._over = False

    async def __anext__(self) -> bytes:
        subscriber, coded = self.subscriber, self.subscriber.coded
        self._asked += 1
        if self._asked == 1 or subscriber.ended or subscriber.sent < subscriber.feed.head:
            await asyncio.sleep(0)  # nothing below would let others have a turn
        if self._asked == 1:
            return subscriber.opening if coded is None else coded.begin(subscriber.opening)
        batch = await subscriber.take(HEARTBEAT)
        if batch is not None:
            return batch.joined.plain
        words = self._farewell() if subscriber.ended else subscriber.feed.heartbeat(subscriber)
        if words:
            return words if coded is None else coded.say(words)
        if coded is None or self._over:
            raise StopAsyncIteration
        self._over = True
        return coded.end()

    def _farewell(self) -> bytes:
        farewell, self.subscriber.farewell = self.subscriber.farewell, b""
        return farewell

    async def broadcast(self, sink: Sink) -> None:
        """Afterwards the farewell is still to be taken."""
        await self.subscriber.attach(sink)

    async def aclose(self) -> None:
        self.subscriber.leave()

    def heartbeat(self) -> bytes:
        """Between two chunks; an empty line is nothing to readers of lines, JSON or not.

        From another thread, perhaps while the next chunk is made. So what is compressed is not told anything, as that
        chunk may lean on those before; and nothing may come before its head, which has gone out when more is asked for.
        """
        coded = self.subscriber.coded
        if coded is not None:
            return coded.coding.nothing if self._asked > 1 else b""
        return sse.comment() if self.subscriber.want.form is Format.SSE else b"\n"

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
        self._opened = False

    async def __anext__(self) -> bytes:
        subscriber = self.subscriber
        if not self._opened or subscriber.ended or subscriber.sent < subscriber.feed.head:
            await asyncio.sleep(0)  # nothing below would let others have a turn
        if not self._opened:
            self._opened = True
            return subscriber.opening
        batch = await subscriber.take(HEARTBEAT)
        if batch is not None:
            return batch.joined.plain
        if not subscriber.ended:
            return subscriber.feed.heartbeat(subscriber)
        farewell, subscriber.farewell = subscriber.farewell, b""
        if not farewell:
            raise StopAsyncIteration
        return farewell

    async def broadcast(self, sink: Sink) -> None:
        """Afterwards the farewell is still to be taken."""
        await self.subscriber.attach(sink.offer)

    async def aclose(self) -> None:
        self.subscriber.leave()

    def heartbeat(self) -> bytes:
        """Between two chunks; an empty line is nothing to readers of lines, JSON or not."""
        return sse.comment() if self.subscriber.want.form is Format.SSE else b"\n"

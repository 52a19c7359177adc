"""A topic over a WebSocket: one text message for each event, as a line of NDJSON.

Under our worker the topic writes the messages to the connection, framed once for all readers; under other servers they
go by `send`, one by one (sendsink.py).

What a reader says has no meaning here and is not answered; gunicorn_conf.py bounds its length. A socket is closed with
4401, 4403 or 4404 where a request would be answered by 401, 403 or 404, and the reason beside it.
"""

import asyncio
import io
import logging
from typing import Any

from channels.exceptions import StopConsumer
from channels.generic.websocket import AsyncWebsocketConsumer
from django.http import QueryDict

from mediastream import homeloop, streams
from mediastream.broadcast import Shared
from mediastream.delivery import CONNECTION, Receive, Scope, Send
from mediastream.errors import Fault
from mediastream.feeds import asked
from mediastream.feeds.bodies import FeedBody
from mediastream.feeds.events import Format
from mediastream.feeds.known import Reading, reading
from mediastream.feeds.subscriber import Subscriber
from mediastream.feeds.views import join
from mediastream.lean import LeanRequest
from mediastream.request_threads import lean_threads
from mediastream.sendsink import SendSink
from mediastream.streams import Label, Stream

logger = logging.getLogger(__name__)

PATIENCE = 60.0  # seconds one message may wait for its reader
CLOSING = 1.0  # seconds the closing frame may, and its answer
LONGEST = 64 * 1024  # bytes of a message from a reader, under servers that are not ours too
TOO_BIG, NO_TEXT, AWAY, APPLICATION = 1009, 1003, 1001, 4000  # close codes, RFC 6455 section 7.4


class FeedSocket(AsyncWebsocketConsumer):
    """`_pump` sends; Channels calls the rest. It needs no channel layer: the feed is one for all its readers.

    Under some servers `send` waits for as long as a reader takes nothing, for the closing frame, too. So a socket that
    cannot be closed in good order is left to the server, which ends the connection as `__call__` returns.
    """

    channel_layer_alias = ""

    def __init__(self) -> None:
        super().__init__()
        self._pumping: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Whatever ends the connection ends what it opened (live/wall.py), and the other way round."""
        try:
            async with asyncio.TaskGroup() as self._tasks:
                await super().__call__(scope, receive, send)
                if self._pumping is not None:
                    self._pumping.cancel()
        except* OSError:  # TimeoutError is one
            logger.debug("the reader left while something was sent to it, or took nothing")

    async def connect(self) -> None:
        await self.accept()
        self._pumping = self._tasks.create_task(self._pump(), name="feed socket")

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if bytes_data is not None:
            await self.close(NO_TEXT, "this socket takes text")
        elif len((text_data or "").encode()) > LONGEST:
            await self.close(TOO_BIG, f"a message has {LONGEST} bytes at most")

    async def disconnect(self, code: int) -> None:
        raise StopConsumer

    async def close(self, code: int | None = None, reason: str | None = None) -> None:
        """Raises TimeoutError, which ends the connection, if its reader does not take that much."""
        async with asyncio.timeout(CLOSING):
            await super().close(code, reason)

    async def _pump(self) -> None:
        try:
            connection = self.scope.get("extensions", {}).get(CONNECTION)
            form = Format.SOCKET if connection is None else Format.FRAMES
            wanted = asked.parse(QueryDict(self.scope["query_string"]), form)
            known = await self._reading()
            body = await homeloop.run(join(known, wanted))
        except Fault as fault:
            await self.close(APPLICATION + fault.status, fault.detail[:120])
            return
        except Exception:
            logger.exception("a feed's socket could not be opened")
            await self.close(1011)
            return
        await self._send_all(body, known, connection)

    async def _reading(self) -> Reading:
        """As for an HTTP request with this handshake's headers."""
        request = LeanRequest({**self.scope, "method": "GET"}, io.BytesIO())
        with lean_threads():
            return await reading(request, self.scope["url_route"]["kwargs"]["topic"])

    async def _send_all(self, body: FeedBody, known: Reading, connection: Any) -> None:
        task = asyncio.current_task()
        assert task is not None
        right, label = known.right, Label("feed socket", known.name)
        stream = streams.opened(Stream(label, right.holds, task.cancel, right.visitor.pk), brief=False)
        try:
            if connection is None:
                await self._send_each(body, stream)
            else:
                await self._broadcast(body.subscriber, stream, connection)
        except OSError:
            stream.reason = streams.LEFT
            raise
        except asyncio.CancelledError:
            if stream.reason == streams.COMPLETE:
                stream.reason = streams.LEFT
            if stream.reason != streams.REVOKED or task.uncancel():
                raise
        finally:
            await body.aclose()
            streams.closed(stream)
        if stream.reason == streams.REVOKED:
            await self._turn_away(connection)
        else:
            await self.close(AWAY, "come again in a moment")

    async def _turn_away(self, connection: Any) -> None:
        try:
            await self.close(APPLICATION + 403, "the right to this topic was taken away")
        except TimeoutError:
            if connection is not None:
                await connection.cut(take_back=True)
            raise

    async def _broadcast(self, subscriber: Subscriber, stream: Stream, connection: Any) -> None:
        """Have the topic write to the connection, whose watch ends it if nothing is taken."""
        connection.stream = stream
        try:
            with connection.socket_sink(stream) as sink:
                sink.push(subscriber.opening)
                await subscriber.attach(sink)
                sink.push(subscriber.farewell)
        finally:
            connection.stream = None

    async def _send_each(self, body: FeedBody, stream: Stream) -> None:
        """Have the topic send by the server's `send`."""
        subscriber = body.subscriber
        async with asyncio.timeout(PATIENCE):
            await self._say(Shared(subscriber.opening))
        await SendSink(self._say, stream, PATIENCE).feed(body)
        async with asyncio.timeout(PATIENCE):
            await self._say(Shared(subscriber.farewell))

    async def _say(self, lines: Shared) -> None:
        for line in lines.plain.decode().split("\n"):
            if line:
                await self.send(text_data=line)

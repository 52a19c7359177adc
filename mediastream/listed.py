"""A body that is listed among the open streams by itself, for servers that pull it from a thread (WSGI).

Our handler under ASGI lists what it sends (delivery.py). A WSGI server merely iterates, a step at a time, and
between two steps its thread may wait for a paused viewer as long as it likes. When the right to the stream goes,
the source is closed here at once, whatever that thread does, and the connection with it where the server lets us
have that (wsgi_servers.py). Elsewhere the thread learns of it at its next step, by StreamCut.
"""

import asyncio

from mediastream import streams
from mediastream.bodies import Body
from mediastream.errors import StreamCut
from mediastream.streams import Stream


class ListedBody(Body):
    """`stream`: made for this body and not yet listed; it is with the first step. Its `end` is done beside
    what closes the source. Lives on the home loop."""

    def __init__(self, body: Body, stream: Stream, *, brief: bool) -> None:
        self.patience = body.patience
        self._body = body
        self._stream = stream
        self._brief = brief
        self._begun = self._over = False
        self._step: asyncio.Task[None] | None = None
        self._ending: asyncio.Task[None] | None = None
        self._hang_up, stream.end = stream.end, self._end

    async def __anext__(self) -> bytes:
        if not self._begun:
            self._begun = True
            streams.opened(self._stream, brief=self._brief)
        self._check()
        self._step = asyncio.current_task()
        try:
            chunk = await anext(self._body)
        except asyncio.CancelledError:
            self._check()
            raise
        except StreamCut:
            self._check()
            self._stream.reason = streams.CUT
            raise
        except StopAsyncIteration:
            self._check()
            self._over = True
            raise
        finally:
            self._step = None
        self._check()
        self._stream.bytes += len(chunk)
        return chunk

    def _check(self) -> None:
        if self._stream.reason == streams.REVOKED:
            raise StreamCut("the right to it was taken away") from None

    def _end(self) -> None:
        if self._step is not None:
            self._step.cancel()
        self._hang_up()
        self._ending = asyncio.create_task(self._close(), name="ending a revoked stream")

    def heartbeat(self) -> bytes:
        return self._body.heartbeat()

    async def aclose(self) -> None:
        if self._begun and not self._over and self._stream.reason == streams.COMPLETE:
            self._stream.reason = streams.LEFT
        if self._ending is not None:
            await self._ending
        await self._close()

    async def _close(self) -> None:
        try:
            await self._body.aclose()
        finally:
            streams.closed(self._stream)

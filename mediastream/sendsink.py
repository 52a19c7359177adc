"""A viewer fed by ASGI's `send`, without a turn of its request's task for each offer.

To wake a task costs more than to send a small event. And `send` hardly ever waits: a server writes, and waits where the
client has not taken what came before. So its first step is run by whoever offers, as the request's task and in its
context; asyncio's documentation has this under "Extending", for tasks of other kinds. Where `send` does wait, a task
goes on with it, and the viewer is passed over meanwhile.
"""

import asyncio
from asyncio.tasks import _enter_task, _leave_task
from collections.abc import Awaitable, Callable, Generator, Iterator
from contextvars import copy_context
from typing import Any

from mediastream.broadcast import BroadcastBody, Shared
from mediastream.streams import Stream

Send = Callable[[Shared], Awaitable[object]]


class Begun:
    """What is left of an awaitable whose first step has been run: to be awaited by a task."""

    def __init__(self, waits_for: Any, steps: Iterator[Any]) -> None:
        self._waits_for = waits_for
        self._steps = steps

    def __await__(self) -> Generator[Any, Any, None]:
        waits_for, told = self._waits_for, None
        while True:
            try:
                yield waits_for
            except BaseException as fault:
                told = fault
            try:
                waits_for, told = next(self._steps) if told is None else self._throw(told), None
            except StopIteration:
                return

    def _throw(self, fault: BaseException) -> Any:
        if not hasattr(self._steps, "throw"):  # an iterator that is no generator
            raise fault
        return self._steps.throw(fault)


def begin(work: Awaitable[object]) -> Begun | None:
    """Run it until it waits for something; None if it did not, and is done. Raises what it raises."""
    steps = iter(work.__await__())
    try:
        return Begun(next(steps), steps)
    except StopIteration:
        return None


class SendSink:
    """Made by the request's task, which then calls `feed`. `send`: what sends an offer by the server's `send`;
    `patience`: seconds that one may take."""

    direct = None  # the server's socket is its own

    def __init__(self, send: Send, stream: Stream, patience: float) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._send, self._stream, self._patience = send, stream, patience
        self._task: asyncio.Task[Any] = task
        self._loop = asyncio.get_running_loop()
        self._run = copy_context().run
        self._sending: asyncio.Task[None] | None = None
        self._fault: Exception | None = None

    async def feed(self, body: BroadcastBody) -> None:
        """Until the body is over and what was offered has gone. Raises what `send` raised, or TimeoutError."""
        cancelling = self._task.cancelling()
        try:
            await body.broadcast(self)
            if self._sending is not None:
                await self._sending
        except asyncio.CancelledError:
            if self._fault is None or self._task.uncancel() > cancelling:
                raise
            raise self._fault from None
        finally:
            if self._sending is not None:
                self._sending.cancel()
                await asyncio.gather(self._sending, return_exceptions=True)

    def offer(self, data: Shared) -> bool:
        if self._sending is not None or self._fault is not None:
            return False
        try:
            rest = self._step(data)
        except Exception as fault:
            self._fail(fault)
            return False
        self._stream.bytes += len(data.plain)
        if rest is not None:
            self._sending = self._loop.create_task(self._finish(rest), name="a slow viewer's send")
        return True

    def _step(self, data: Shared) -> Begun | None:
        loop, task, running = self._loop, self._task, asyncio.current_task()
        if running is not None:
            _leave_task(loop, running)
        _enter_task(loop, task)
        try:
            return self._run(lambda: begin(self._send(data)))
        finally:
            _leave_task(loop, task)
            if running is not None:
                _enter_task(loop, running)

    async def _finish(self, rest: Begun) -> None:
        try:
            async with asyncio.timeout(self._patience):
                await rest
        except Exception as fault:
            self._fail(fault)
        self._sending = None

    def _fail(self, fault: Exception) -> None:
        """End the stream, whose task waits in `feed`."""
        self._fault = fault
        self._task.cancel()

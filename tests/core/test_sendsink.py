"""Offers to a viewer by a `send` that waits, does not, fails, or never comes back."""

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

import pytest

from mediastream.broadcast import BroadcastBody, Shared, Sink
from mediastream.sendsink import Begun, SendSink, begin
from mediastream.streams import Label, Stream

Sends = Callable[[Shared], Awaitable[None]]
mine: ContextVar[str] = ContextVar("mine", default="")


class Fed(BroadcastBody):
    """What it gets to offer to is `sink`; over when told."""

    def __init__(self) -> None:
        self.sink: asyncio.Future[Sink] = asyncio.get_running_loop().create_future()
        self.over = asyncio.Event()

    async def __anext__(self) -> bytes:
        raise StopAsyncIteration

    async def aclose(self) -> None: ...

    async def broadcast(self, sink: Sink) -> None:
        self.sink.set_result(sink)
        await self.over.wait()


class Request:
    """A task that has its body feed a sink."""

    def __init__(self, send: Sends, patience: float = 30.0) -> None:
        self.body = Fed()
        self.stream = Stream(Label("feed", "x"), None, lambda: None)
        self.task = asyncio.create_task(self._run(send, patience))

    async def _run(self, send: Sends, patience: float) -> None:
        mine.set("the request's")
        try:
            await SendSink(send, self.stream, patience).feed(self.body)
        except (OSError, TimeoutError):
            task = asyncio.current_task()
            assert task is not None
            assert not task.cancelling()
            raise

    async def sink(self) -> Sink:
        return await asyncio.wait_for(asyncio.shield(self.body.sink), 5)

    async def end(self) -> None:
        self.body.over.set()
        await asyncio.wait_for(self.task, 5)


async def test_a_send_that_does_not_wait_is_over_with_the_offer_and_runs_as_the_requests_task() -> None:
    seen: list[Any] = []

    async def send(data: Shared) -> None:
        async with asyncio.timeout(5):  # which asks for the task it is in
            seen.append((data.plain, asyncio.current_task(), mine.get()))

    request = Request(send)
    sink = await request.sink()
    assert sink.direct is None
    for words in (b"one", b"two"):
        assert sink.offer(Shared(words))
    asyncio.get_running_loop().call_soon(sink.offer, Shared(b"by no task"))
    await asyncio.sleep(0)
    assert seen == [(words, request.task, "the request's") for words in (b"one", b"two", b"by no task")]
    assert asyncio.current_task() not in (None, request.task)
    assert mine.get() == ""
    await request.end()
    assert request.stream.bytes == 16


async def test_one_that_waits_is_passed_over_until_it_has_gone() -> None:
    gate, sent = asyncio.Event(), []

    async def send(data: Shared) -> None:
        await gate.wait()
        await asyncio.sleep(0)
        sent.append(data.plain)

    request = Request(send)
    sink = await request.sink()
    assert sink.offer(Shared(b"one"))
    assert not sink.offer(Shared(b"never"))
    gate.set()
    for _ in range(5):
        await asyncio.sleep(0)
    assert sink.offer(Shared(b"two"))
    await request.end()  # which waits for the second
    assert sent == [b"one", b"two"]
    assert request.stream.bytes == 6


async def test_one_that_waits_too_long() -> None:
    async def send(_: Shared) -> None:
        await asyncio.sleep(60)

    request = Request(send, patience=0.05)
    assert (await request.sink()).offer(Shared(b"one"))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(request.task), 5)
    assert request.task.done()


@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize("over", [False, True])
async def test_one_that_fails_ends_its_own_stream(waits: bool, over: bool) -> None:
    async def send(_: Shared) -> None:
        if waits:
            await asyncio.sleep(0)
        raise ConnectionResetError("the client has left")

    request = Request(send)
    sink = await request.sink()
    assert sink.offer(Shared(b"one")) is waits
    if over:
        request.body.over.set()
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(request.task, 5)
    assert not sink.offer(Shared(b"two"))


async def test_a_request_that_is_cancelled_leaves_no_send_behind() -> None:
    ended: list[str] = []

    async def send(_: Shared) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("the send")

    request = Request(send)
    assert (await request.sink()).offer(Shared(b"one"))
    request.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request.task
    assert ended == ["the send"]


class Bare:
    """An awaitable of a server that is no Python: its iterator has `__next__` alone."""

    def __init__(self, future: "asyncio.Future[None]") -> None:
        self._future, self._asked = future, False

    def __await__(self) -> Any:
        return self

    def __iter__(self) -> Any:
        return self

    def __next__(self) -> Any:
        if self._asked:
            raise StopIteration
        self._asked = True
        self._future._asyncio_future_blocking = True
        return self._future


async def gone_on_with(rest: Begun) -> None:
    await rest


async def test_awaitables_of_all_kinds_are_gone_on_with() -> None:
    loop = asyncio.get_running_loop()
    done: list[str] = []

    async def of_python() -> None:
        await asyncio.sleep(0)
        await asyncio.sleep(0.001)
        done.append("of python")

    future, waited = loop.create_future(), loop.create_future()
    loop.call_later(0.05, future.set_result, None)
    loop.call_later(0.1, waited.set_result, None)
    for work in (of_python(), future, Bare(waited)):
        rest = begin(work)
        assert isinstance(rest, Begun)
        await asyncio.wait_for(gone_on_with(rest), 5)
    assert done == ["of python"]
    assert future.done()
    assert waited.done()
    assert begin(future) is None


async def test_one_cancelled_is_told_and_may_go_on_for_a_while() -> None:
    seen: list[str] = []

    async def stubborn() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            seen.append("told")
            await asyncio.sleep(0)
            seen.append("went on")

    for work, raises in ((stubborn(), False), (asyncio.sleep(60), True), (Bare(asyncio.Future()), True)):
        rest = begin(work)
        assert rest is not None

        task = asyncio.create_task(gone_on_with(rest))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task}, timeout=5)
        assert task.cancelled() is raises
    assert seen == ["told", "went on"]

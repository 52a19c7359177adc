"""The simulator, and feeds elsewhere: real upstreams on a port, that end, lie, or fall silent."""

import asyncio
import itertools
import json
import statistics
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from mediastream.feeds import hub, running, simulator, upstream
from mediastream.feeds.batch import Want
from mediastream.feeds.events import Event, Format
from mediastream.feeds.placing import OLDEST
from mediastream.feeds.running import Order
from mediastream.feeds.simulator import SYMBOLS, Market
from mediastream.feeds.sources import Kind, Source, SourceInvalid, parse
from mediastream.feeds.upstream import SourceLost, events_of

SIMULATOR = Source(Kind.SIMULATOR)


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("", None),
        ("simulator", SIMULATOR),
        ("wss://host/x?a=b", Source(Kind.SOCKET, "wss://host/x?a=b")),
        ("sse+https://host/x", Source(Kind.EVENTS, "https://host/x")),
        ("http://host:81/x", Source(Kind.POLLED, "http://host:81/x")),
    ],
)
def test_a_source(text: str, source: Source | None) -> None:
    assert parse(text) == source


@pytest.mark.parametrize("text", ["x", "ftp://host/", "http://", "http://host:x/", "http://a b/", "file:///etc/passwd"])
def test_no_source(text: str) -> None:
    with pytest.raises(SourceInvalid):
        parse(text)


def test_the_market_walks_at_random_and_says_that_it_is_simulated() -> None:
    market = Market(seed=1)
    ticks = [market.tick(0.3, 100 + number) for number in range(20_000)]
    assert all(tick["simulated"] is True for tick in ticks)
    assert {tick["symbol"] for tick in ticks} == set(SYMBOLS)
    prices = [tick["price"] for tick in ticks if tick["symbol"] == "ACME"]
    steps = [after / before - 1 for before, after in itertools.pairwise(prices)]
    assert min(prices) > 0
    assert abs(statistics.mean(steps)) < 0.1 * statistics.stdev(steps)
    assert 0 < statistics.stdev(steps) < 0.02
    assert [Market(seed=1).tick(0.3, 100)] == ticks[:1]


async def test_the_rate_of_the_market() -> None:
    found: list[Event] = []
    done = asyncio.Event()

    async def publish(event: Event) -> None:
        found.append(event)
        if len(found) == 200:
            done.set()

    task = asyncio.create_task(simulator.run(publish, 1000, "symbol"))
    async with asyncio.timeout(30):
        await done.wait()
    task.cancel()
    assert {event.key for event in found} <= set(SYMBOLS)


@pytest.mark.usefixtures("serving")
async def test_a_source_runs_while_somebody_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "LINGER", 0.05)
    running.arrange({"m": Order(SIMULATOR, 1000, "symbol", always_on=False)})
    assert running.state("m") == "resting"
    subscriber = hub.feed("m").join(Want(Format.NDJSON))
    batch = await subscriber.take(30)
    assert batch is not None
    assert json.loads(batch.joined.plain.splitlines()[0])["key"] in SYMBOLS
    assert running.state("m") == "live"
    subscriber.leave()
    async with asyncio.timeout(30):
        while running.state("m") != "resting":
            await asyncio.sleep(0.01)


@pytest.mark.usefixtures("serving")
async def test_one_that_is_always_on_and_another_process_that_has_it() -> None:
    running.arrange({"m": Order(SIMULATOR, 1000, "symbol", always_on=True)})
    async with asyncio.timeout(30):
        while hub.feed("m").head < 3:
            await asyncio.sleep(0.01)
        second = running.Running("m", Order(SIMULATOR, 1000, "symbol", always_on=True))
        while second.state != "another process has it":
            await asyncio.sleep(0.01)
        await running.close_all()
        while second.state != "live":
            await asyncio.sleep(0.01)
    second.task.cancel()
    await asyncio.gather(second.task, return_exceptions=True)


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def elsewhere(handler: Handler) -> AsyncIterator[str]:
    """Its address, without a scheme."""
    application = web.Application()
    application.router.add_get("/", handler)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


async def socket(request: web.Request) -> web.StreamResponse:
    answer = web.WebSocketResponse()
    await answer.prepare(request)
    await answer.send_str('{"symbol": "A", "price": 1}')
    await answer.send_str('[{"symbol": "B"}, {"symbol": "C"}]')
    await answer.send_str("not JSON")
    await answer.close()
    return answer


async def events(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await answer.prepare(request)
    await answer.write(
        b': hello\ndata: {"symbol": "A", "price": 1}\n\ndata: [{"symbol": "B"},\ndata: {"symbol": "C"}]\n\n'
    )
    await answer.write(b"data: not JSON\n\ndata: unfin")
    return answer


async def polled(_request: web.Request) -> web.StreamResponse:
    return web.json_response([{"symbol": "A", "price": 1}, {"symbol": "B"}, {"symbol": "C"}, "not JSON"])


def asked(kind: Kind, address: str) -> Source:
    return Source(kind, f"{'ws' if kind is Kind.SOCKET else 'http'}://{address}")


@pytest.mark.parametrize(("kind", "handler"), [(Kind.SOCKET, socket), (Kind.EVENTS, events), (Kind.POLLED, polled)])
async def test_events_of_a_feed_elsewhere(kind: Kind, handler: Handler) -> None:
    found: list[Event] = []

    async def publish(event: Event) -> None:
        found.append(event)
        if len(found) == 4 and kind is Kind.POLLED:
            raise SourceLost("enough")

    async with asyncio.timeout(30), elsewhere(handler) as address:
        with pytest.raises(SourceLost):
            await upstream.run(asked(kind, address), publish, 100, "symbol")
    assert [event.key for event in found] == ["A", "B", "C", ""]
    assert found[0].data == {"symbol": "A", "price": 1}
    assert found[3].data == "not JSON"


async def lying(_request: web.Request) -> web.StreamResponse:
    return web.Response(body=b"<html>{", content_type="application/json")


async def failing(_request: web.Request) -> web.StreamResponse:
    return web.Response(status=500)


async def endless(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await answer.prepare(request)
    for _ in range(200):
        await answer.write(b"data: " + b"x" * 100_000 + b"\n")
    return answer


async def too_much(_request: web.Request) -> web.StreamResponse:
    return web.Response(body=b"[" + b"1," * 3_000_000 + b"1]")


async def silent(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await answer.prepare(request)
    await asyncio.sleep(600)
    return answer


@pytest.mark.parametrize(
    ("kind", "handler"),
    [
        (Kind.POLLED, lying),
        (Kind.POLLED, failing),
        (Kind.POLLED, too_much),
        (Kind.EVENTS, lying),
        (Kind.EVENTS, endless),
        (Kind.EVENTS, silent),
        (Kind.SOCKET, lying),
    ],
)
async def test_one_that_lies_fails_or_falls_silent_is_given_up(
    kind: Kind, handler: Handler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upstream, "SILENCE", 0.5)

    async def publish(_event: Event) -> None:
        raise AssertionError

    async with asyncio.timeout(60), elsewhere(handler) as address:
        with pytest.raises(SourceLost):
            await upstream.run(asked(kind, address), publish, 100, "symbol")


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ('{"symbol": 5}', ["5"]),
        ('{"symbol": true}', [""]),
        ('{"symbol": {"a": 1}}', [""]),
        ('{"symbol": "a\\nb"}', [""]),
        ('{"symbol": "%s"}' % ("x" * 65), [""]),
        ("[]", []),
        ("[" * 100_000, [""]),
    ],
)
def test_keys_out_of_anything(text: str, keys: list[str]) -> None:
    assert [event.key for event in events_of(text, "symbol")] == keys


@pytest.mark.parametrize("text", [json.dumps([1] * 1001), '"\\ud800"', "NaN"])
def test_a_message_that_is_no_events(text: str) -> None:
    with pytest.raises(SourceLost):
        events_of(text, "symbol")


@pytest.mark.usefixtures("serving")
async def test_one_that_comes_back_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "PAUSES", (0.01, 0.05))
    times = 0

    async def handler(request: web.Request) -> web.StreamResponse:
        nonlocal times
        times += 1
        return await (failing if times < 4 else events)(request)

    async with asyncio.timeout(30), elsewhere(handler) as address:
        running.arrange({"t": Order(asked(Kind.EVENTS, address), 1, "symbol", always_on=True)})
        subscriber = hub.feed("t").join(Want(Format.NDJSON), OLDEST)
        found: list[Any] = []
        while len(found) < 4:
            batch = await subscriber.take(30)
            assert batch is not None
            found += [json.loads(message)["data"] for message in batch.joined.plain.splitlines()]
        await running.close_all()
    assert found[0] == {"symbol": "A", "price": 1}

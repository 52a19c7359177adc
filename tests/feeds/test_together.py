"""Readers who are written to in one loop, over socket pairs: each gets all in order, or is told how many it missed."""

import asyncio
import json
import random
import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from typing import Any

import pytest

from mediastream.feeds.batch import want
from mediastream.feeds.events import Event, Format
from mediastream.feeds.feed import Feed
from mediastream.feeds.subscriber import Subscriber
from mediastream.feeds.terms import Policy, Terms
from tests.pairs import PairSink, pair, taken


def unchunked(text: bytes) -> bytes:
    plain = b""
    while text:
        head, _, rest = text.partition(b"\r\n")
        plain, text = plain + rest[: int(head, 16)], rest[int(head, 16) + 2 :]
    return plain


class Reader:
    """`got`: what its client has read so far."""

    def __init__(self, feed: Feed, sink: PairSink, client: socket.socket, keys: frozenset[str] | None = None) -> None:
        self.subscriber: Subscriber = feed.join(want(Format.NDJSON, keys))
        self.sink, self.client = sink, client
        self.got = b""
        self.task = asyncio.create_task(self.subscriber.attach(sink))

    def read(self) -> None:
        self.sink.flush()
        self.got += taken(self.client)

    @property
    def said(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in unchunked(self.got).split(b"\n")[:-1]]

    @property
    def numbers(self) -> list[int]:
        return [said["data"]["n"] for said in self.said if said["event"] == "message"]

    async def leave(self) -> None:
        self.subscriber.leave()
        await self.task


@asynccontextmanager
async def readers(feed: Feed, count: int, buffer: int | None = None) -> AsyncIterator[list[Reader]]:
    with ExitStack() as stack:
        made = [Reader(feed, *stack.enter_context(pair(buffer))) for _ in range(count)]
        await turn()
        yield made
        for reader in made:
            await reader.leave()
            reader.read()
            assert reader.sink.counted == len(reader.got) + reader.sink.unsent
        assert not feed._together
        assert not feed._alone


async def turn() -> None:
    for _ in range(4):
        await asyncio.sleep(0)


async def test_those_who_keep_up_are_together_and_get_each_event_once() -> None:
    feed = Feed("x", Terms())
    async with readers(feed, 5) as made:
        for number in range(30):
            feed.append(Event({"n": number}))
            if number % 3 == 2:  # some come together
                await turn()
        assert len(feed._together) == 1
        assert not feed._alone
        for reader in made:
            reader.read()
            assert reader.numbers == list(range(30))


async def test_who_comes_amid_events_misses_none_and_gets_none_twice() -> None:
    feed = Feed("x", Terms())
    async with readers(feed, 2) as made:
        feed.append(Event({"n": 0}))
        await turn()
        with pair() as (sink, client):
            feed.append(Event({"n": 1}))
            late = Reader(feed, sink, client)  # before that was written
            feed.append(Event({"n": 2}))
            await turn()
            feed.append(Event({"n": 3}))
            await turn()
            late.read()
            made[0].read()
            assert made[0].numbers == [0, 1, 2, 3]
            assert late.numbers[-2:] == [2, 3]
            assert late.numbers == sorted(set(late.numbers))
            await late.leave()


async def test_those_who_want_other_keys_are_apart() -> None:
    feed = Feed("x", Terms())
    async with readers(feed, 2) as made:
        with pair() as (sink, client):
            some = Reader(feed, sink, client, frozenset("a"))
            await turn()
            for number in range(10):
                feed.append(Event({"n": number}, key="ab"[number % 2]))
                await turn()
            some.read()
            made[0].read()
            assert some.numbers == [0, 2, 4, 6, 8]
            assert made[0].numbers == list(range(10))
            await some.leave()


@pytest.mark.parametrize("seed", range(8))
async def test_whoever_is_slow_gets_all_in_order_or_is_told_how_many_it_missed(seed: int) -> None:
    chance = random.Random(seed)
    feed = Feed("x", Terms(Policy.OLDEST, history=chance.choice([20, 2000])))
    count = 150
    async with readers(feed, 6, buffer=4096) as made:
        for number in range(count):
            feed.append(Event({"n": number, "text": "x" * chance.choice([10, 3000])}))
            if chance.random() < 0.5:
                await turn()
            for index, reader in enumerate(made):
                if chance.random() < index / 5:
                    reader.read()
            if chance.random() < 0.1:
                feed._beat()
        async with asyncio.timeout(20):
            while any(reader.subscriber.together is None for reader in made) or not all(map(ready, made)):
                for reader in made:
                    reader.read()
                feed._flush()
                await asyncio.sleep(0.005)
        for reader in made:
            missed = sum(said["data"]["dropped"] for said in reader.said if said["event"] == "gap")
            assert reader.numbers == sorted(set(reader.numbers))
            assert len(reader.numbers) + missed == count
            assert reader.numbers[-1] == count - 1


def ready(reader: Reader) -> bool:
    return bool(reader.numbers) and reader.numbers[-1] == 149


async def test_none_is_written_to_after_its_right_has_gone() -> None:
    feed = Feed("x", Terms())
    async with readers(feed, 2) as made:
        feed.append(Event({"n": 0}))
        await turn()
        feed.append(Event({"n": 1}))
        made[0].subscriber.end()
        await turn()
        for reader in made:
            reader.read()
        assert [reader.numbers for reader in made] == [[0], [0, 1]]


async def test_who_is_too_slow_for_a_strict_topic_is_ended_and_the_others_are_not() -> None:
    feed = Feed("x", Terms(Policy.DISCONNECT, history=20))
    async with readers(feed, 2, buffer=4096) as made:
        slow, fast = made
        for number in range(100):
            feed.append(Event({"n": number, "text": "x" * 1000}))
            await turn()
            fast.read()
        async with asyncio.timeout(20):
            while not slow.subscriber.ended:
                slow.read()
                await asyncio.sleep(0.01)
        fast.read()
        assert fast.numbers == list(range(100))
        assert b'"gap"' in slow.subscriber.farewell

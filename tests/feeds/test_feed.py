"""One topic: who gets what, in which order, and what is said where something is missing."""

import asyncio
import json
import random
from typing import Any

import pytest

from mediastream import drain, streams
from mediastream.broadcast import Shared
from mediastream.errors import Busy
from mediastream.feeds import feed as feeds
from mediastream.feeds.batch import Want
from mediastream.feeds.events import Event, Format
from mediastream.feeds.feed import Feed
from mediastream.feeds.placing import OLDEST
from mediastream.feeds.saying import retry
from mediastream.feeds.subscriber import Subscriber
from mediastream.feeds.terms import Policy, Terms

LINES = Want(Format.NDJSON)


class Connection:
    """What a body is written to. `room`: offers it takes before it is busy."""

    def __init__(self, room: float = float("inf")) -> None:
        self.room = room
        self.offers: list[bytes] = []

    direct = None

    def offer(self, data: Shared) -> bool:
        if len(self.offers) >= self.room:
            return False
        self.offers.append(data.plain)
        return True

    @property
    def said(self) -> list[dict[str, Any]]:
        return [json.loads(line) for offer in self.offers for line in offer.splitlines()]

    @property
    def data(self) -> list[Any]:
        return [said["data"] for said in self.said if said["event"] == "message"]


def attach(subscriber: Subscriber, room: float = float("inf")) -> tuple[Connection, "asyncio.Task[None]"]:
    connection = Connection(room)
    return connection, asyncio.create_task(subscriber.attach(connection))


async def turn(count: int = 3) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def until(condition: Any) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


async def taken(subscriber: Subscriber) -> list[dict[str, Any]]:
    """All that waits."""
    found: list[dict[str, Any]] = []
    while (batch := await subscriber.take(0.01)) is not None:
        found += map(json.loads, batch.joined.plain.splitlines())
    return found


def opening(subscriber: Subscriber) -> list[dict[str, Any]]:
    return [json.loads(line) for line in subscriber.opening.splitlines()]


async def test_what_is_published_in_one_turn_goes_out_in_one_write() -> None:
    feed = Feed("t", Terms())
    first, one = attach(feed.join(LINES))
    second, two = attach(feed.join(LINES))
    await turn()
    for number in range(5):
        feed.append(Event(number))
    await turn()
    assert first.data == second.data == [0, 1, 2, 3, 4]
    assert len(first.offers) == 1
    assert first.offers[0] is second.offers[0]
    one.cancel()
    two.cancel()


async def test_a_filter_is_by_key_and_moves_on_with_what_it_leaves_out() -> None:
    feed = Feed("t", Terms())
    subscriber = feed.join(Want(Format.NDJSON, frozenset({"a"})))
    connection, task = attach(subscriber)
    await turn()
    feed.append(Event(1, key="a"))
    feed.append(Event(2, key="b"))
    await turn()
    assert connection.data == [1]
    assert subscriber.sent == 2
    task.cancel()


async def test_resuming_repeats_and_misses_nothing_while_events_come() -> None:
    feed = Feed("t", Terms(history=500))
    dice = random.Random(1)
    for number in range(50):
        feed.append(Event(number))
    known, seen = str(feed.cursor), list(range(50))
    published = 50
    for _ in range(40):
        for _ in range(dice.randrange(8)):
            feed.append(Event(published))
            published += 1
        subscriber = feed.join(LINES, known)
        assert [said["event"] for said in opening(subscriber)] == ["open"]
        for _ in range(dice.randrange(8)):
            feed.append(Event(published))
            published += 1
        for said in await taken(subscriber):
            seen.append(said["data"])
            known = said["id"]
        subscriber.leave()
    assert seen == list(range(published))


@pytest.mark.parametrize(
    ("after", "reason"),
    [
        ("0123abcd:3", "unknown"),
        ("nonsense", "unknown"),
        ("{epoch}:4", "expired"),
        ("{epoch}:999", "expired"),
        ("{epoch}:-1", "unknown"),
        ("\0\n", "unknown"),
        ("é" * 5000, "unknown"),
    ],
)
@pytest.mark.parametrize("keyed", [False, True])
async def test_a_cursor_from_which_one_cannot_go_on(after: str, reason: str, keyed: bool) -> None:
    feed = Feed("t", Terms(Policy.CONFLATE if keyed else Policy.OLDEST, history=10))
    for number in range(20):
        feed.append(Event(number, key=str(number % 3)))
    subscriber = feed.join(LINES, after.replace("{epoch}", feed.epoch))
    said = opening(subscriber)[-1]
    assert (said["event"], said["data"]) == ("reset", {"reason": reason})
    snapshot = [event["data"] for event in await taken(subscriber)]
    assert snapshot == ([17, 18, 19] if keyed else list(range(10, 20)))
    feed.append(Event(20))
    assert [event["data"] for event in await taken(subscriber)] == [20]


async def test_who_leaves_amid_the_snapshot_can_go_on_from_there() -> None:
    feed = Feed("t", Terms(Policy.CONFLATE, history=10))
    for number in range(9):
        feed.append(Event(number, key=str(number % 3)))
    first, *rest = await taken(feed.join(LINES))
    again = [said["data"] for said in await taken(feed.join(LINES, first["id"]))]
    assert {said["data"] for said in rest} <= set(again)


async def test_who_comes_first_time() -> None:
    feed = Feed("t", Terms())
    feed.append(Event(1))
    assert await taken(feed.join(LINES)) == []
    assert [said["data"] for said in await taken(feed.join(LINES, OLDEST))] == [1]
    keyed = Feed("k", Terms(Policy.CONFLATE))
    for number in range(4):
        keyed.append(Event(number, key=str(number % 2)))
    assert [said["data"] for said in await taken(keyed.join(LINES))] == [2, 3]


async def test_oldest_dropped_and_told() -> None:
    feed = Feed("t", Terms(history=10))
    connection, task = attach(feed.join(LINES), room=1)
    await turn()
    dropped = streams.dropped()["feed"]
    feed.append(Event(0))
    await turn()
    for number in range(1, 51):
        feed.append(Event(number))
    await turn()
    assert connection.data == [0]
    connection.room = 99
    await until(lambda: connection.data[-1] == 50)
    (gap,) = [said for said in connection.said if said["event"] == "gap"]
    assert gap["data"]["dropped"] + len(connection.data) == 51
    assert connection.data[1:] == list(range(41, 51))
    assert streams.dropped()["feed"] - dropped == gap["data"]["dropped"] == 40
    task.cancel()


async def test_the_last_of_each_key_is_kept_for_the_slow() -> None:
    feed = Feed("t", Terms(Policy.CONFLATE, history=10))
    connection, task = attach(feed.join(LINES), room=0)
    await turn()
    for number in range(1000):
        feed.append(Event(number, key=str(number % 3)))
    connection.room = 99
    await until(lambda: connection.data)
    assert connection.data == [997, 998, 999]
    assert not [said for said in connection.said if said["event"] == "gap"]
    task.cancel()


async def test_keys_given_up_are_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mediastream.feeds.history.MOST_KEYS", 5)
    feed = Feed("t", Terms(Policy.CONFLATE, history=3))
    connection, task = attach(feed.join(LINES), room=0)
    await turn()
    for number in range(9):
        feed.append(Event(number, key=str(number)))
    connection.room = 99
    await until(lambda: connection.data)
    assert connection.data == [4, 5, 6, 7, 8]
    assert [said["data"]["dropped"] for said in connection.said if said["event"] == "gap"] == [4]
    task.cancel()


async def test_disconnected_for_being_slow() -> None:
    feed = Feed("t", Terms(Policy.DISCONNECT, history=10))
    subscriber = feed.join(LINES)
    _connection, task = attach(subscriber, room=0)
    await turn()
    for number in range(50):
        feed.append(Event(number))
    await asyncio.wait_for(task, 20)
    assert json.loads(subscriber.farewell)["data"] == {"dropped": 40}


async def test_a_burst_reaches_who_reads_whole_though_it_is_more_than_the_history() -> None:
    feed = Feed("t", Terms(history=200))
    connection, task = attach(feed.join(LINES))
    await turn()
    for number in range(10_000):
        feed.append(Event(number))
    await turn()
    assert connection.data == list(range(10_000))
    assert len(connection.offers) <= 101
    task.cancel()


async def test_one_that_never_reads_costs_the_others_nothing_and_is_bounded() -> None:
    feed = Feed("t", Terms(history=100))
    _dead, one = attach(feed.join(LINES), room=0)
    alive, two = attach(feed.join(LINES))
    await turn()
    for number in range(2000):
        feed.append(Event("x" * 1000))
        if number % 50 == 0:
            await turn(1)
    await turn()
    assert len(alive.data) == 2000
    assert len(list(feed._history.after(0))) == 100
    one.cancel()
    two.cancel()


async def test_history_is_bounded_in_bytes_too() -> None:
    feed = Feed("t", Terms(Policy.CONFLATE, history=1000))
    for number in range(30):
        feed.append(Event("x" * 1_000_000, key=str(number)))
    assert sum(entry.size for entry in feed._history.after(0)) <= 8 * 1024 * 1024
    assert sum(entry.size for entry in feed._history.latest(0)) <= 8 * 1024 * 1024


async def test_large_events_go_out_in_bounded_writes() -> None:
    feed = Feed("t", Terms())
    for _ in range(5):
        feed.append(Event("x" * 200_000))
    connection, task = attach(feed.join(LINES, OLDEST))
    await turn()
    assert len(connection.data) == 5
    assert max(map(len, connection.offers)) < 2 * 256 * 1024
    task.cancel()


async def test_heartbeats_say_where_the_stream_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "HEARTBEAT", 0.02)
    feed = Feed("t", Terms())
    connection, task = attach(feed.join(Want(Format.NDJSON, frozenset({"a"}))))
    await turn()
    feed.append(Event(1, key="b"))
    await until(lambda: len(connection.offers) > 1)
    assert connection.said[-1] == {"id": str(feed.cursor), "event": "heartbeat", "data": {}}
    events = feed.join(Want(Format.SSE))
    assert feed.heartbeat(events).decode() == f":\nid: {feed.cursor}\n\n"
    task.cancel()


async def test_a_drain_ends_streams_with_a_moment_to_come_again() -> None:
    feed = Feed("t", Terms())
    subscriber = feed.join(Want(Format.SSE))
    _connection, task = attach(subscriber)
    await turn()
    drain.begin()
    await asyncio.wait_for(task, 20)
    assert subscriber.farewell.startswith(b"retry: ")
    with pytest.raises(Busy):
        feed.join(LINES)


async def test_who_is_ended_gets_nothing_that_comes_in_the_same_turn() -> None:
    feed = Feed("t", Terms())
    subscribers = [feed.join(LINES) for _ in range(20)]
    connections, tasks = zip(*map(attach, subscribers), strict=True)
    await turn()
    feed.append(Event("for those who may"))
    for subscriber in subscribers[10:]:
        subscriber.end()
    feed._flush()
    feed._beat()
    assert {len(connection.offers) for connection in connections[:10]} == {2}
    assert not any(connection.offers for connection in connections[10:])
    await asyncio.gather(*tasks[10:])
    for task in tasks[:10]:
        task.cancel()


def test_clients_are_told_different_moments_to_come_again() -> None:
    assert len({retry(Format.SSE, 1) for _ in range(50)}) > 25


async def test_the_first_reader_and_the_last() -> None:
    feed = Feed("t", Terms())
    heard: list[bool] = []
    feed.interested = heard.append
    one, two = feed.join(LINES), feed.join(LINES)
    one.leave()
    one.leave()
    assert heard == [True]
    two.leave()
    assert heard == [True, False]


async def test_ten_thousand_come_and_go() -> None:
    feed = Feed("t", Terms())
    for number in range(10_000):
        subscriber = feed.join(LINES)
        if number % 3:
            _, task = attach(subscriber)
            await turn(1)
            task.cancel()
            await turn(1)
        subscriber.leave()
    assert feed.subscribers == 0
    assert not feed._attached
    assert not feed._busy
    assert feed._beating is None

"""Streams compressed once for all: whoever comes, lags or leaves decodes what a reader of the plain one gets."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediastream import streams
from mediastream.broadcast import Shared
from mediastream.feeds import alone, compressed, lane, placing
from mediastream.feeds.batch import want
from mediastream.feeds.bodies import FeedBody
from mediastream.feeds.events import Event, Format, retraction
from mediastream.feeds.feed import Feed
from mediastream.feeds.placing import OLDEST
from mediastream.feeds.terms import Policy, Terms
from mediastream.http.pieces import CODINGS, Coding
from mediastream.http.sse import Parser
from tests.decoding import Decoder, decoded
from tests.feeds.test_feed import turn

BOTH = pytest.mark.parametrize("coding", ["gzip", "zstd"])
GZIP = CODINGS["gzip"]


class Reader:
    """A body and who gets it: `attached` to a connection that may be `busy`, or pulled."""

    def __init__(
        self, feed: Feed, coding: str | None, *, attached: bool, after: str | None = None, **asked: Any
    ) -> None:
        self.form = asked.get("form", Format.NDJSON)
        chosen = CODINGS[coding] if coding is not None else None
        self.coding = coding
        self.body = FeedBody(feed.join(want(self.form, asked.get("keys")), after, chosen))
        self.attached = attached
        self.busy = False
        self.wire: list[bytes] = []
        self._task: asyncio.Task[None] | None = None

    direct = None

    def offer(self, data: Shared) -> bool:
        if not self.busy:
            self.wire.append(data.plain)
        return not self.busy

    async def begin(self) -> None:
        self.wire.append(await anext(self.body))
        if self.attached:
            self._task = asyncio.create_task(self.body.broadcast(self))
            await turn()

    async def pull(self) -> None:
        """One chunk, if one is there."""
        if not self.attached:
            batch = await self.body.subscriber.take(0)
            self.wire += [batch.joined.plain] if batch is not None else []

    async def finish(self) -> None:
        """To the end, as whoever sends it does."""
        self.busy = False
        while self.attached and not self.body.subscriber.advance():
            pass
        self.body.subscriber.end(b"" if self.form is Format.TEXT else b"\n")
        if self._task is not None:
            await self._task
        self.wire += [chunk async for chunk in self.body]
        await self.body.aclose()

    @property
    def plain(self) -> bytes:
        whole = b"".join(self.wire)
        plain = decoded(self.coding, whole)
        assert decoded(self.coding, whole, 1) == plain
        return plain

    @property
    def said(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.plain.splitlines() if line]

    @property
    def data(self) -> list[Any]:
        return [said["data"] for said in self.said if said["event"] == "message"]


@pytest.fixture(autouse=True)
def no_lanes_are_left() -> Iterator[None]:
    yield
    left = len(lane._working)
    lane._working.clear()
    assert not left


steps = st.lists(
    st.one_of(
        st.tuples(st.just("event"), st.sampled_from("ab"), st.sampled_from([1, 1, 1, 60, 700, 0])),
        st.tuples(
            st.just("join"), st.sampled_from(["gzip", "zstd"]), st.booleans(), st.sampled_from([None, "a", OLDEST])
        ),
        st.tuples(st.sampled_from(["turn", "turn", "beat", "try"])),
        st.tuples(st.sampled_from(["busy", "pull", "leave"]), st.integers(0, 5)),
    ),
    min_size=10,
    max_size=80,
)


@pytest.mark.parametrize("policy", [Policy.OLDEST, Policy.CONFLATE])
@given(steps=steps)
def test_whatever_happens_each_reader_decodes_its_own(policy: Policy, steps: list[tuple[Any, ...]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"JOIN": 4, "BEHIND": 6, "KEPT": 1500, "MOST": 3}.items():
            patch.setattr(lane, name, value)
        patch.setattr(compressed, "LARGE", 600)
        patch.setattr(alone, "MEMORY", 5000)
        patch.setattr(placing, "PLACE", 8)
        asyncio.run(run(Feed("t", Terms(policy, history=12)), steps))


async def run(feed: Feed, steps: list[tuple[Any, ...]]) -> None:
    readers, gone, keys = list[Reader](), list[Reader](), [""]
    for kind, *rest in steps:
        if kind == "event":
            keys.append(rest[0])
            event = Event([feed.head + 1, "x" * rest[1]], key=rest[0]) if rest[1] else retraction(rest[0])
            feed.append(event)
        elif kind == "join":
            coding, attached, who = rest
            wanted = frozenset("a") if who == "a" else None
            readers.append(Reader(feed, coding, attached=attached, after=OLDEST if who else None, keys=wanted))
            await readers[-1].begin()
        elif kind in ("turn", "beat", "try"):
            await turn()
            feed._beat() if kind == "beat" else feed._try() if kind == "try" else None
        elif rest[0] < len(readers):
            await touch(kind, readers, rest[0], gone)
            if kind == "leave":
                check(keys, gone[-1], feed.terms.keyed)
    while readers:
        await touch("leave", readers, 0, gone)
        check(keys, gone[-1], feed.terms.keyed)
    assert not feed._lanes._lanes


async def touch(kind: str, readers: list[Reader], number: int, gone: list[Reader]) -> None:
    if kind == "busy":
        readers[number].busy = not readers[number].busy
    elif kind == "pull":
        await readers[number].pull()
    else:
        gone.append(readers.pop(number))
        await gone[-1].finish()


def check(keys: list[str], reader: Reader, keyed: bool) -> None:
    """Each event once and in order, and what is missing was told, or is of a key that had a later one."""
    at, seen = -1, dict[str, int]()

    def passed(upto: int) -> None:
        nonlocal at
        missing = [number for number in range(at + 1, upto) if reader.body.subscriber.want.takes(keys[number])]
        assert keyed or at < 0 or not missing
        at = upto

    for said in reader.said:
        number, published = int(said["id"].split(":")[1]), said["event"] in ("message", "retract")
        assert number > at or not published
        if said["event"] == "gap":
            at = number
        else:
            passed(number + (not published))
            at = number
        if published:
            assert said["event"] == "retract" or said["data"][0] == number
            seen[said["key"]] = number
    if reader.attached:
        passed(len(keys))
        last = {key: number for number, key in enumerate(keys) if number and reader.body.subscriber.want.takes(key)}
        assert not keyed or last == seen


async def begun(feed: Feed, coding: str | None, count: int = 1, **asked: Any) -> list[Reader]:
    readers = [Reader(feed, coding, attached=True, **asked) for _ in range(count)]
    for reader in readers:
        await reader.begin()
    return readers


async def publish(feed: Feed, count: int, key: str = "") -> None:
    """Each in a turn of its own."""
    for _ in range(count):
        feed.append(Event([feed.head + 1, "as any other"], key=key))
        await turn()


async def finish(*readers: Reader) -> None:
    for reader in readers:
        await reader.finish()


@BOTH
async def test_all_get_the_same_bytes_compressed_once(coding: str) -> None:
    feed = Feed("t", Terms())
    readers = await begun(feed, coding, 3)
    await publish(feed, 200)
    first, *others = [reader.wire[1:] for reader in readers]
    assert len(first) == 200
    for other in others:
        assert all(one is another for one, another in zip(first, other, strict=True))
    sent = sum(map(len, first))
    await finish(*readers)
    assert [data[0] for data in readers[0].data] == list(range(1, 201))
    assert sent < 0.35 * len(readers[0].plain)


@BOTH
async def test_who_comes_later_goes_in_soon(coding: str) -> None:
    feed = Feed("t", Terms())
    (first,) = await begun(feed, coding)
    await publish(feed, 50)
    (second,) = await begun(feed, coding)
    await publish(feed, 1)  # the lane has not had anybody come for long
    assert first.body.subscriber.coded.lane.inside == 2
    (third,) = await begun(feed, coding)
    await publish(feed, lane.JOIN - 1)
    assert first.body.subscriber.coded.lane.inside == 2
    await publish(feed, 1)
    assert first.body.subscriber.coded.lane.inside == 3
    assert first.wire[-1] is third.wire[-1]
    await finish(first, second, third)
    assert [len(reader.data) for reader in (first, second, third)] == [71, 21, 20]


@BOTH
async def test_who_waits_shares_what_it_gets_alone(coding: str) -> None:
    feed = Feed("t", Terms())
    (first,) = await begun(feed, coding)
    await publish(feed, 2)
    others = await begun(feed, coding, 2)
    await publish(feed, 1)
    assert others[0].wire[-1] is others[1].wire[-1]
    assert others[0].wire[-1] is not first.wire[-1]
    await finish(first, *others)


@BOTH
async def test_a_moment_of_being_busy_costs_no_place_inside(coding: str) -> None:
    feed = Feed("t", Terms())
    slow, quick = await begun(feed, coding, 2)
    await publish(feed, 5)
    slow.busy = True
    await publish(feed, 5)
    slow.busy = False
    feed._try()
    assert slow.wire[-1] == b"".join(quick.wire[-5:])
    await finish(slow, quick)
    assert slow.data == quick.data


@BOTH
@pytest.mark.parametrize("attached", [True, False])
async def test_those_that_are_stuck_do_not_keep_others_out(coding: str, attached: bool) -> None:
    feed = Feed("t", Terms())
    stuck = Reader(feed, coding, attached=attached)
    await stuck.begin()
    await publish(feed, 1)
    await stuck.pull()
    assert stuck.body.subscriber.coded.lane.inside == 1
    stuck.busy = True
    (other,) = await begun(feed, coding)
    await publish(feed, lane.JOIN + 3)
    assert other.body.subscriber.coded._at == other.body.subscriber.coded.lane.end
    stuck.busy = False
    feed._try()
    await stuck.pull()
    await publish(feed, 1)
    await stuck.pull()
    await finish(stuck, other)
    assert [data[0] for data in stuck.data] == list(range(1, feed.head + 1))
    assert [data[0] for data in other.data] == list(range(2, feed.head + 1))


@BOTH
async def test_who_is_behind_is_not_told_what_was_taken_back(coding: str) -> None:
    feed = Feed("t", Terms())
    slow, quick = await begun(feed, coding, 2)
    await publish(feed, 2)
    slow.busy = True
    feed.append(Event("secret", key="a"))
    await publish(feed, 2)
    feed.append(retraction("a"))
    await publish(feed, 1)
    slow.busy = False
    feed._try()
    await publish(feed, lane.JOIN)
    assert quick.body.subscriber.coded.lane.inside == 2
    assert slow.wire[-1] is quick.wire[-1]
    await finish(slow, quick)
    assert "secret" in quick.data
    assert "secret" not in slow.data
    known = range(1, feed.head + 1)
    assert [int(said["id"].split(":")[1]) for said in slow.said if said["event"] != "open"] == [*known]


@pytest.fixture
def compressions(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What was compressed alone."""
    made: list[bytes] = []
    for coding in CODINGS.values():
        counted = alone.Alone(coding)
        monkeypatch.setattr(counted, "_coding", Counted(coding, made))
        monkeypatch.setitem(alone.ALONE, coding.name, counted)
    return made


class Counted:
    def __init__(self, coding: Coding, made: list[bytes]) -> None:
        self._coding, self._made = coding, made

    def alone(self, plain: bytes) -> bytes:
        self._made.append(plain)
        return self._coding.alone(plain)


async def stalled(feed: Feed, coding: str, count: int = 1) -> list[Reader]:
    """Readers that lack a hundred events when they come, and take none of them."""
    await publish(feed, 100, "a")
    readers = [Reader(feed, coding, attached=True, after=OLDEST) for _ in range(count)]
    for reader in readers:
        reader.busy = True
        await reader.begin()
    return readers


async def publish_tried(feed: Feed, count: int) -> None:
    """After each event the busy are tried, as they are a moment later."""
    for _ in range(count):
        await publish(feed, 1)
        feed._try()


@BOTH
@pytest.mark.parametrize("policy", Policy)
async def test_what_a_stalled_reader_lacks_is_compressed_once(
    coding: str, policy: Policy, compressions: list[bytes]
) -> None:
    """Not again for each event that comes meanwhile; and those come after it, each once."""
    feed = Feed("t", Terms(policy))
    readers = await stalled(feed, coding, 2)
    before = len(compressions)
    await publish_tried(feed, 50)
    assert len(compressions) == before
    offered = [reader.body.subscriber.coded._offered for reader in readers]
    assert offered[0].batch.pieces[0] is offered[1].batch.pieces[0]
    for reader in readers:
        reader.busy = False
    await publish_tried(feed, 1)
    assert not any(reader.body.subscriber.coded._offered for reader in readers)
    await publish(feed, 2)
    await finish(*readers)
    for reader in readers:
        assert [data[0] for data in reader.data] == [*range(1, 154)]


@BOTH
async def test_what_is_kept_for_a_stalled_reader_and_then_taken_back_is_not_told(coding: str) -> None:
    feed = Feed("t", Terms())
    feed.append(Event("secret", key="s"))
    (reader,) = await stalled(feed, coding)
    await publish_tried(feed, 3)
    feed.append(retraction("s"))
    await publish_tried(feed, 3)
    reader.busy = False
    await publish_tried(feed, 1)
    await finish(reader)
    assert b"secret" not in reader.plain
    told = [int(said["id"].split(":")[1]) for said in reader.said if said["event"] != "open"]
    assert told == [*range(1, feed.head + 1)]


@BOTH
async def test_what_is_kept_for_a_stalled_reader_is_for_its_place(coding: str) -> None:
    feed = Feed("t", Terms())
    (reader,) = await stalled(feed, coding)
    subscriber = reader.body.subscriber
    assert subscriber.coded.batch(subscriber) is subscriber.coded._offered.batch
    subscriber.sent = 99
    assert json.loads(subscriber.coded.batch(subscriber).pieces[0])["data"][0] == 100
    await finish(reader)


@BOTH
async def test_one_that_is_too_slow_is_ended_though_its_backlog_is_kept(coding: str) -> None:
    feed = Feed("t", Terms(Policy.DISCONNECT, history=120))
    (reader,) = await stalled(feed, coding)
    await publish_tried(feed, 20)
    assert not reader.body.subscriber.ended
    await publish_tried(feed, 1)
    assert reader.body.subscriber.ended
    reader.wire += [chunk async for chunk in reader.body]
    await reader.body.aclose()
    assert [said["event"] for said in reader.said] == ["open", "gap"]
    assert reader.said[-1]["data"] == {"dropped": 1}


@BOTH
async def test_one_that_is_behind_misses_nothing_when_all_are_outside(coding: str) -> None:
    feed = Feed("t", Terms())
    slow, quick = await begun(feed, coding, 2)
    feed._beat()
    slow.busy = True
    await publish(feed, 3)
    feed._beat()
    slow.busy = False
    feed._try()
    await publish(feed, 1)
    await finish(slow, quick)
    assert slow.data == quick.data


@BOTH
async def test_what_a_filter_leaves_out_moves_nobody(coding: str) -> None:
    feed = Feed("t", Terms())
    readers = await begun(feed, coding, 2, keys=frozenset("a"))
    for _ in range(3):
        await publish(feed, 1, "a")
        await publish(feed, lane.JOIN + 5, "b")
    readers += await begun(feed, coding, keys=frozenset("a"))
    for _ in range(lane.JOIN):
        await publish(feed, 1, "a")
        await publish(feed, lane.JOIN + 5, "b")
    shared = readers[0].body.subscriber.coded.lane
    assert (shared.inside, shared.end) == (3, 3 + lane.JOIN)
    await finish(*readers)
    assert [len(reader.data) for reader in readers] == [23, 23, 20]


@BOTH
async def test_each_selection_and_coding_has_a_lane_and_lanes_have_a_bound(
    coding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane, "MOST", 2)
    feed = Feed("t", Terms())
    readers = [*await begun(feed, coding), *await begun(feed, coding, keys=frozenset("a"))]
    await publish(feed, 1, "a")
    readers += await begun(feed, coding, 2, keys=frozenset("ab"))
    await publish(feed, 2, "a")
    assert len(lane._working) == 2
    assert [reader.body.subscriber.coded.lane.inside for reader in readers] == [1, 1, 0, 0]
    assert readers[2].wire[-1] is readers[3].wire[-1]
    await finish(*readers[:2])
    await publish(feed, 1, "a")
    assert readers[2].body.subscriber.coded.lane.inside == 2
    await finish(*readers[2:])
    assert [len(reader.data) for reader in readers] == [3, 3, 3, 3]


@BOTH
async def test_what_is_large_is_compressed_alone_once(coding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    feed = Feed("t", Terms())
    readers = await begun(feed, coding, 2)
    await publish(feed, 1)
    feed.append(Event([2, "x" * compressed.LARGE]))
    await publish(feed, 1)
    assert readers[0].wire[-1] is readers[1].wire[-1]
    assert readers[0].body.subscriber.coded.lane.inside == 0
    await publish(feed, 1)
    await finish(*readers)
    assert len(readers[0].data) == 4


def test_what_was_compressed_alone_is_forgotten_past_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alone, "MEMORY", 10_000)
    kept = alone.Alone(GZIP)
    for number in range(1000):
        kept(b"%d" % number)
        assert len(kept._made) < 50


@BOTH
@pytest.mark.parametrize("attached", [True, False])
async def test_the_words_of_a_stream_itself(coding: str, attached: bool) -> None:
    """Its opening, heartbeats, a gap and the farewell, the events between them."""
    feed = Feed("t", Terms(history=5))
    dropped = streams.dropped()["feed"]
    reader = Reader(feed, coding, attached=attached, form=Format.SSE)
    await reader.begin()
    await publish(feed, 2)
    await reader.pull()
    feed._beat()
    reader.wire.append(reader.body.heartbeat())
    reader.busy = True
    await publish(feed, 7)
    reader.busy = False
    feed._try()
    await reader.pull()
    await reader.finish()
    parser = Parser()
    messages = parser.feed(reader.plain)
    assert parser.retry
    assert parser.last_id == str(feed.cursor)
    assert (b"\n:\nid: " in reader.plain) == attached
    # The lane still has for the attached one what came first while it was busy.
    known, missed = (3, 1) if attached else (2, 2)
    assert [message.event for message in messages] == [*["message"] * known, "gap", *["message"] * 5]
    assert streams.dropped()["feed"] - dropped == missed


@BOTH
async def test_nothing_is_sent_before_the_head(coding: str) -> None:
    reader = Reader(Feed("t", Terms()), coding, attached=False)
    assert reader.body.heartbeat() == b""
    await reader.begin()
    assert reader.body.heartbeat() == b""
    await finish(reader)


@BOTH
async def test_a_compressed_stream_opens_at_once(coding: str) -> None:
    feed = Feed("t", Terms())
    (reader,) = await begun(feed, coding)
    decoder = Decoder(coding)
    assert json.loads(decoder.feed(reader.wire[0]))["event"] == "open"
    await publish(feed, 1)
    assert json.loads(decoder.feed(reader.wire[1]))["data"][0] == 1
    await finish(reader)


async def test_the_sum_of_4_gibibytes_wraps() -> None:
    (reader,) = await begun(Feed("t", Terms()), "gzip")
    reader.body.subscriber.coded._size = 1 << 32
    await reader.body.aclose()
    assert reader.body.subscriber.coded.end()[-4:] == b"\0\0\0\0"
    await asyncio.gather(reader._task, return_exceptions=True)

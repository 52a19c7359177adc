"""Topics without rows: they cost nothing unread, and begin with what their family knows; and what is taken back."""

import asyncio
import json
from typing import Any

import pytest
from django.core.exceptions import ValidationError

from mediastream import homeloop
from mediastream.errors import Busy
from mediastream.feeds import activity, families, hub, relay
from mediastream.feeds.batch import Want
from mediastream.feeds.events import Event, Format, retraction
from mediastream.feeds.families import Family
from mediastream.feeds.models import Topic
from mediastream.feeds.placing import OLDEST
from mediastream.feeds.subscriber import Subscriber
from mediastream.feeds.terms import Policy, Terms

pytestmark = pytest.mark.usefixtures("serving")
LINES = Want(Format.NDJSON)
TERMS = Terms(history=50)


class Told:
    """A family's own side. `gate`: until it is set, what the topic is to hold is not known."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.stored = [Event("one", key="1"), Event("two", key="2")]
        self.asked = 0
        self.read: list[tuple[str, bool]] = []

    async def past(self, _rest: str) -> list[Event]:
        self.asked += 1
        found = list(self.stored)
        await self.gate.wait()
        return found


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    monkeypatch.setattr(families, "_families", {})
    made = Told()

    async def right(*_: Any) -> Any:
        raise NotImplementedError

    def read(rest: str, is_read: bool) -> None:
        made.read.append((rest, is_read))

    families.register(Family("room.", right, TERMS, made.past, read, linger=0.05))
    families.register(Family("room.of.", right, TERMS))
    families.register(Family("whole", right, TERMS))
    return made


async def all_of(subscriber: Subscriber) -> list[Any]:
    found: list[Any] = []
    while (batch := await subscriber.take(0.02)) is not None:
        found += [json.loads(message)["data"] for message in batch.joined.plain.splitlines()]
    return found


async def until(condition: Any) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


@pytest.mark.parametrize(
    ("name", "prefix", "rest"),
    [
        ("room.a", "room.", "a"), ("room.a.b", "room.", "a.b"), ("room.of.b", "room.of.", "b"), ("whole", "whole", ""),
        ("room.of.", "room.", "of."), ("whole.x", None, ""), ("room.", None, ""), ("room", None, ""), ("", None, ""),
        ("rooma", None, ""), (".", None, ""), ("room..", "room.", "."), ("Room.a", None, ""), ("market", None, ""),
    ],
)  # fmt: skip
async def test_names(told: Told, name: str, prefix: str | None, rest: str) -> None:
    found = families.of(name)
    assert (found[0].prefix, found[1]) == (prefix, rest) if found else prefix is None


async def test_a_row_cannot_have_such_a_name(told: Told) -> None:
    for name in ("room.a", "whole"):
        with pytest.raises(ValidationError, match="server's own"):
            Topic(name=name).full_clean(validate_unique=False)


async def test_what_nobody_reads_is_nowhere(told: Told) -> None:
    assert await hub.apublish("room.a", Event("lost")) is None
    assert "room.a" not in hub.feeds()
    assert told.asked == 0


async def test_a_reader_finds_what_was_and_hears_what_comes(told: Told) -> None:
    feed = await hub.opened("room.a", TERMS)
    subscriber = feed.join(LINES, OLDEST)
    assert told.read == [("a", True)]
    await hub.apublish("room.a", Event("three", key="3"))
    assert await all_of(subscriber) == ["one", "two", "three"]
    assert await hub.opened("room.a", TERMS) is feed
    assert told.asked == 1


async def test_it_is_held_for_a_moment_and_then_forgotten(told: Told) -> None:
    feed = await hub.opened("room.a", TERMS)
    feed.join(LINES).leave()
    again = (await hub.opened("room.a", TERMS)).join(LINES)
    assert again.feed is feed
    await asyncio.sleep(0.1)
    assert "room.a" in hub.feeds()
    again.leave()
    await until(lambda: "room.a" not in hub.feeds())
    assert told.read == [("a", True), ("a", False)] * 2
    assert not hub._unread


async def test_one_that_was_opened_for_a_reader_who_left_meanwhile_goes_too(told: Told) -> None:
    await hub.opened("room.a", TERMS)
    await until(lambda: "room.a" not in hub.feeds())


async def test_what_is_said_while_the_database_is_asked_is_there_once(told: Told) -> None:
    """Two had been stored when it was asked; three was stored and published after that."""
    told.gate.clear()
    both = [asyncio.create_task(hub.opened("room.a", TERMS)) for _ in range(2)]
    await until(lambda: told.asked)
    for event in (Event("two", key="2"), Event("three", key="3"), retraction("1")):
        assert await hub.apublish("room.a", event) is None
    told.gate.set()
    feeds = await asyncio.gather(*both)
    assert feeds[0] is feeds[1]
    assert told.asked == 1
    assert await all_of(feeds[0].join(LINES, OLDEST)) == [{"key": "1"}, "two", "three", {"key": "1"}]


async def test_what_was_stored_before_and_is_published_after_it_opened_is_there_once(told: Told) -> None:
    """Its thread had no turn between the two."""
    subscriber = (await hub.opened("room.a", TERMS)).join(LINES, OLDEST)
    await asyncio.to_thread(hub.publish, "room.a", Event("two", key="2"))
    assert await asyncio.to_thread(relay.send, "room.a", Event("one", key="1")) == 1
    await hub.apublish("room.a", Event("three", key="3"))
    assert await all_of(subscriber) == ["one", "two", "three"]


@pytest.mark.parametrize("meanwhile", [True, False])
async def test_what_is_said_anew_under_a_key_that_was_there_is_told(told: Told, meanwhile: bool) -> None:
    """One is hidden and shown again, two is another now, and says what it said at last."""
    if meanwhile:
        told.gate.clear()
    opening = asyncio.create_task(hub.opened("room.a", TERMS))
    await until(lambda: told.asked)
    if not meanwhile:
        await opening
    for event in (
        retraction("1"), Event("one", key="1"), Event("two!", key="2"), Event("two", key="2"), Event("two", key="2"),
    ):  # fmt: skip
        await hub.apublish("room.a", event)
    told.gate.set()
    heard = await all_of((await opening).join(LINES, OLDEST))
    assert heard == [{"key": "1"}, "two", {"key": "1"}, "one", "two!", "two", "two"]


async def test_what_it_had_when_it_opened_is_forgotten_with_it(told: Told) -> None:
    (await hub.opened("room.a", TERMS)).join(LINES).leave()
    await until(lambda: "room.a" not in hub.feeds())
    assert not hub._openings
    assert await hub.apublish("room.a", Event("two", key="2")) is None
    assert await all_of((await hub.opened("room.a", TERMS)).join(LINES, OLDEST)) == ["one", "two"]


async def test_one_who_leaves_does_not_take_it_from_the_others(told: Told) -> None:
    told.gate.clear()
    first, second = (asyncio.create_task(hub.opened("room.a", TERMS)) for _ in range(2))
    await until(lambda: told.asked)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    told.gate.set()
    assert await all_of((await second).join(LINES, OLDEST)) == ["one", "two"]


async def test_a_database_that_fails_fails_the_reader_and_not_the_next(told: Told) -> None:
    told.stored = None  # type: ignore[assignment]
    with pytest.raises(TypeError):
        await hub.opened("room.a", TERMS)
    assert not hub._openings
    told.stored = []
    await hub.opened("room.a", TERMS)


async def test_another_process_publishes_on_what_is_read(told: Told) -> None:
    subscriber = (await hub.opened("room.of.b", TERMS)).join(LINES)
    for name in ("room.of.b", "room.of.c"):
        assert await asyncio.to_thread(relay.send, name, Event(name)) == 1
    assert await all_of(subscriber) == ["room.of.b"]
    assert "room.of.c" not in hub.feeds()


async def test_there_is_a_bound_and_what_can_be_had_again_goes_first(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "MOST_FEEDS", 3)
    hub.feed("market").append(Event("kept"))
    read = (await hub.opened("room.a", TERMS)).join(LINES)
    await hub.opened("room.b", TERMS)
    await hub.opened("room.c", TERMS)
    assert set(hub.feeds()) == {"market", "room.a", "room.c"}
    (await hub.opened("room.d", TERMS)).join(LINES)
    hub.feed("market").join(LINES)
    with pytest.raises(Busy):
        await hub.opened("room.e", TERMS)
    assert not read.ended


async def test_what_is_taken_back_is_told_to_who_knows_it_and_to_nobody_else() -> None:
    early = hub.feed("t").join(LINES)
    for key in "ab":
        await hub.apublish("t", Event(f"secret of {key}", key=key))
    cursor = str(hub.feed("t").cursor)
    assert await all_of(early) == ["secret of a", "secret of b"]
    await hub.apublish("t", retraction("a"))
    assert await all_of(early) == [{"key": "a"}]
    assert await all_of(hub.feed("t").join(LINES, OLDEST)) == [{"key": "a"}, "secret of b", {"key": "a"}]
    assert await all_of(hub.feed("t").join(LINES, cursor)) == [{"key": "a"}]
    assert hub.feed("t").cursor.sequence == 3


async def test_what_was_never_told_is_not_taken_back_aloud() -> None:
    """That there is something private at an address is nobody's business either."""
    subscriber = hub.feed("t").join(LINES)
    assert await hub.apublish("t", retraction("watch/hidden")) is None
    assert await all_of(subscriber) == []


async def test_a_topic_that_keeps_the_last_of_each_key_forgets_it_too() -> None:
    feed = hub.feed("t", Terms(Policy.CONFLATE, 2))
    for data in ("secret", "x", "y"):
        await hub.apublish("t", Event(data, key=data))
    await hub.apublish("t", retraction("secret"))
    assert await all_of(feed.join(LINES)) == ["x", "y", {"key": "secret"}]


def test_the_same_thing_is_told_once_a_minute_and_private_ones_never(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activity, "_told", {})
    monkeypatch.setattr(activity, "MOST", 2)
    assert activity.happened("watched", "private", "a", "/a/", "A") is None
    assert activity.happened("watched", "members", "a", "/a/", "A") is None
    assert activity.happened("watched", "public", "a", "/a/", "A") is not None
    assert activity.happened("watched", "public", "a", "/a/", "A") is None
    assert activity.happened("stored", "public", "a", "/a/", "A") is not None
    assert activity.happened("watched", "public", "b", "/b/", "B") is not None
    assert len(activity._told) == 2


async def test_closing_ends_what_is_being_opened(told: Told) -> None:
    told.gate.clear()
    opening = asyncio.create_task(hub.opened("room.a", TERMS))
    await until(lambda: told.asked)
    await hub.close_all()
    await asyncio.gather(opening, return_exceptions=True)
    assert opening.cancelled()
    assert not hub._openings
    assert homeloop.home() is asyncio.get_running_loop()

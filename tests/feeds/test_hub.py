"""Publishing from anywhere: coroutines, threads, transactions, other processes."""

import asyncio
import json
import os
import re
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.layers import get_channel_layer
from django.conf import settings
from django.db import transaction

from mediastream.environment import ROOT
from mediastream.errors import Busy
from mediastream.feeds import hub, relay
from mediastream.feeds.batch import Want
from mediastream.feeds.events import Event, Format
from mediastream.feeds.group import group_of, message_of
from mediastream.feeds.placing import OLDEST
from mediastream.feeds.subscriber import Subscriber
from mediastream.feeds.terms import Policy, Terms
from mediastream.seldom import Seldom

pytestmark = pytest.mark.usefixtures("serving")
LINES = Want(Format.NDJSON)


async def first(subscriber: Subscriber, count: int) -> list[object]:
    found: list[object] = []
    async with asyncio.timeout(30):
        while len(found) < count:
            batch = await subscriber.take(30)
            assert batch is not None
            found += [json.loads(message)["data"] for message in batch.joined.plain.splitlines()]
    return found


async def test_from_a_coroutine_with_its_place() -> None:
    cursor = await hub.apublish("t", Event(1))
    assert cursor == hub.feed("t").cursor
    assert await first(hub.feed("t").join(LINES, OLDEST), 1) == [1]


async def test_threads_keep_their_own_order() -> None:
    subscriber = hub.feed("t", Terms(history=10_000)).join(LINES)

    def work(name: str) -> None:
        for number in range(500):
            hub.publish("t", Event([name, number]))

    threads = [threading.Thread(target=work, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    found = await first(subscriber, 1500)
    for name in "abc":
        assert [pair[1] for pair in found if pair[0] == name] == list(range(500))  # type: ignore[index]


async def test_more_than_may_wait_is_refused_not_lost_silently(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "WAITING", 50)
    refused: list[Busy] = []

    def work() -> None:
        try:
            for number in range(51):
                hub.publish("t", Event(number))
        except Busy as fault:
            refused.append(fault)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()  # the loop gets no turn meanwhile
    assert len(refused) == 1
    assert await first(hub.feed("t").join(LINES, OLDEST), 50) == list(range(50))


async def test_a_burst_by_a_coroutine_gives_others_their_turn() -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    task = asyncio.create_task(other())
    for number in range(2000):
        await hub.apublish("t", Event(number))
    assert turns >= 15
    task.cancel()


@pytest.mark.django_db(transaction=True)
async def test_on_commit() -> None:
    subscriber = hub.feed("t").join(LINES)

    def store() -> None:
        with transaction.atomic():
            hub.publish_on_commit("t", Event("kept"))
        try:
            with transaction.atomic():
                hub.publish_on_commit("t", Event("rolled back"))
                raise RuntimeError
        except RuntimeError:
            pass
        hub.publish_on_commit("t", Event("without a transaction"))

    await sync_to_async(store)()
    assert await first(subscriber, 2) == ["kept", "without a transaction"]


async def test_other_terms_keep_what_the_topic_holds() -> None:
    await hub.apublish("t", Event(1, key="a"))
    cursor = str(hub.feed("t").cursor)
    subscriber = hub.feed("t").join(LINES)
    changed = hub.feed("t", Terms(Policy.CONFLATE, 5))
    assert subscriber.ended
    await hub.apublish("t", Event(2, key="a"))
    assert await first(changed.join(LINES, cursor), 1) == [2]


async def test_topics_are_bounded_and_those_that_are_read_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "MOST_FEEDS", 3)
    read = [hub.feed(name).join(LINES) for name in "ab"]
    for name in "cde":
        hub.feed(name)
    assert set(hub.feeds()) == {"a", "b", "e"}
    read.append(hub.feed("e").join(LINES))
    with pytest.raises(Busy):
        hub.feed("f")


async def test_a_topic_for_which_there_is_no_room_loses_its_events_and_no_others(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(hub, "MOST_FEEDS", 1)
    monkeypatch.setattr(hub, "_lost", Seldom(hub.logger))
    subscriber = hub.feed("read").join(LINES)
    for number in range(2):
        for name in ("no-room", "read"):
            await asyncio.to_thread(hub.publish, name, Event(number))
    assert await first(subscriber, 2) == [0, 1]
    assert "topic no-room is lost" in caplog.text


async def test_a_topic_that_is_gone_takes_its_events_along() -> None:
    await hub.apublish("t", Event("old"))
    hub.forget("t")
    assert hub.feed("t").head == 0


PROGRAM = """
import django, sys
django.setup()
from mediastream.feeds import relay
from mediastream.feeds.events import Event
print(relay.send("t", Event({"text": "ü" * int(sys.argv[1])}, "note", "k")))
"""


@pytest.mark.parametrize("size", [1, 400_000])
async def test_another_process(size: int) -> None:
    subscriber = hub.feed("t").join(LINES)
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "mediastream.settings"}
    command = [sys.executable, "-c", PROGRAM, str(size)]
    running = asyncio.to_thread(subprocess.run, command, cwd=ROOT, env=environment, capture_output=True, check=True)
    assert (await running).stdout.strip() == b"1"
    assert await first(subscriber, 1) == [{"text": "ü" * size}]


def folder() -> Path:
    return Path(settings.DATA_DIR) / "feeds"


async def test_the_socket_of_a_process_that_was_killed_is_cleared_away() -> None:
    path = folder() / "1-dead.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    assert await asyncio.to_thread(relay.send, "t", Event(1)) == 1
    assert not path.exists()


@pytest.mark.parametrize("said", [b"nonsense", b'["t"]', b'["t","","",0,{"a":', b'["t","a\\nb","",0,1]', b"\xff"])
async def test_what_is_no_event_is_answered_and_the_next_is_taken(said: bytes) -> None:
    (path,) = folder().glob("*.sock")
    reader, writer = await asyncio.open_unix_connection(str(path))
    good = b'["t","","",0,1]'
    writer.write(struct.pack("!I", len(said)) + said + struct.pack("!I", len(good)) + good)
    async with asyncio.timeout(20):
        assert await reader.readexactly(2) == b"-+"
        writer.write(struct.pack("!I", 2**31))
        assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()


async def test_a_topic_for_which_there_is_no_room_is_one_line_to_who_reads_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """However many events another process has for it; and that is told that none was taken."""
    monkeypatch.setattr(hub, "MOST_FEEDS", 1)
    monkeypatch.setattr(relay, "_refused", Seldom(relay.logger))
    subscriber = hub.feed("read").join(LINES)
    for number in range(3):
        assert await asyncio.to_thread(relay.send, "no-room", Event(number)) == 0
    assert await asyncio.to_thread(relay.send, "read", Event("taken")) == 1
    assert await first(subscriber, 1) == ["taken"]
    (record,) = [record for record in caplog.records if record.name == relay.logger.name]
    assert record.getMessage().startswith("an event of another process for topic no-room is lost: The server has as")
    assert record.exc_info is None


async def test_nobody_serves() -> None:
    await hub.close_all()
    assert await hub.apublish("t", Event(1)) is None
    assert relay.send("t", Event(1)) == 0


@pytest.mark.parametrize("topic", ["news", "a ü?#%"])
async def test_a_channels_group(topic: str) -> None:
    subscribers = [hub.feed(topic).join(LINES) for _ in range(3)]
    layer: Any = get_channel_layer()
    async with asyncio.timeout(30):
        while not layer.groups.get(group_of(topic)):
            await asyncio.sleep(0.01)
    assert len(layer.groups[group_of(topic)]) == 1
    await layer.group_send(group_of(topic), {"type": "nonsense"})
    await layer.group_send(group_of(topic), message_of(topic, {"price": 1}, key="ACME"))
    for subscriber in subscribers:
        assert await first(subscriber, 1) == [{"price": 1}]
    hub.forget(topic)
    async with asyncio.timeout(30):
        while layer.groups.get(group_of(topic)):
            await asyncio.sleep(0.01)


async def test_the_guides_channels_group() -> None:
    code = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "feeds.md").read_text(), re.DOTALL)[2]
    made: dict[str, Any] = {}
    exec(code, made)
    subscriber = hub.feed("news").join(LINES)
    layer: Any = get_channel_layer()
    async with asyncio.timeout(30):
        while not layer.groups.get(group_of("news")):
            await asyncio.sleep(0.01)
    await made["tick"](12.5)
    assert await first(subscriber, 1) == [{"price": 12.5}]


async def test_a_clock_that_jumps_back_changes_no_order(monkeypatch: pytest.MonkeyPatch) -> None:
    subscriber = hub.feed("t").join(LINES)
    await hub.apublish("t", Event(1))
    monkeypatch.setattr("time.time", lambda: 5.0)
    await hub.apublish("t", Event(2))
    assert await first(subscriber, 2) == [1, 2]

"""The open streams, as an administrator is told of them, and ended by one."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client

from mediastream import homeloop, streams
from mediastream.live.models import Camera
from mediastream.open_streams import listing, topic
from mediastream.open_streams.listing import MOST, Names, Seen
from mediastream.streams import Label, Stream
from tests.core.test_wsgi import Call
from tests.media_library.conftest import client_of, collect_static, make_media, make_visitor
from tests.topics import lines_of

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def told_often(closed_after: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    collect_static()
    monkeypatch.setattr(streams, "_open", set())
    monkeypatch.setattr(topic, "EVERY", 0.05)
    yield
    homeloop.call(topic.close_all(), 10)


def seen(number: int, size: int = 0, whose: int | None = None, item: str = "yard") -> Seen:
    return Seen(number, "mjpeg", item, whose, 12.4, size)


def test_what_is_told() -> None:
    names = Names({7: "alice"}, {"yard": ("The yard", "/live/yard/")})
    told = listing.told([seen(1, 500, 7), seen(2, 100, item="gone")], {1: 300}, 2.0, names)
    assert (told["open"], told["kinds"], told["rate"]) == (2, {"mjpeg": 2}, 150)
    first, second = told["streams"]
    assert first == {
        "number": 1, "kind": "mjpeg", "title": "The yard", "address": "/live/yard/", "who": "alice", "seconds": 12,
        "bytes": 500, "rate": 100,
    }  # fmt: skip
    assert (second["title"], second["address"], second["who"], second["rate"]) == ("gone", "", "", 50)
    (unnamed,) = listing.told([seen(3, whose=8)], {}, 1.0, names)["streams"]
    assert unnamed["who"] == "8"


def test_a_crowd_is_counted_and_not_listed() -> None:
    told = listing.told([seen(number) for number in range(5000)], {}, 1.0, Names({}, {}))
    assert told["open"] == 5000
    assert [line["number"] for line in told["streams"]] == list(range(5000 - MOST, 5000))


async def opened(label: Label, whose: int | None = None) -> tuple[Stream, list[str]]:
    ended: list[str] = []
    return streams.opened(Stream(label, None, lambda: ended.append("yes"), whose), brief=True), ended


def test_the_topic_and_the_button() -> None:
    boss = make_visitor("superuser")
    item = make_media(title="A film")
    Camera.objects.create(slug="yard", name="The yard", source="test-pattern", visibility="public")
    film, ended = homeloop.call(opened(Label("file", str(item.pk)), boss.pk), 10)
    homeloop.call(opened(Label("mjpeg", "yard")), 10)
    client = client_of(boss)
    call = Call("/feeds/sessions/stream", HTTP_COOKIE=f"sessionid={client.cookies['sessionid'].value}")
    lines = lines_of(call)

    def next_told() -> Any:
        return next(line["data"] for line in lines if line["event"] == "message")

    first = next_told()
    assert [(line["title"], line["who"]) for line in first["streams"]] == [("A film", boss.username), ("The yard", "")]
    film.bytes += 1000
    assert next_told()["streams"][0]["bytes"] == 1000
    assert client.post(f"/admin/streams/openstream/{film.number}/end/").status_code == 204
    assert (ended, film.reason) == (["yes"], streams.REVOKED)
    homeloop.call(_closed(film), 10)
    assert next_told()["open"] == 1
    assert client.post(f"/admin/streams/openstream/{film.number}/end/").status_code == 404
    call.close()


async def _closed(stream: Stream) -> None:
    streams.closed(stream)


def test_who_may() -> None:
    stream, ended = homeloop.call(opened(Label("file", "x")), 10)
    page, end = "/admin/streams/openstream/", f"/admin/streams/openstream/{stream.number}/end/"
    boss, staff = client_of(make_visitor("superuser")), client_of(make_visitor("staff"))
    assert b'id="streams"' in boss.get(page).content
    assert b"Open streams" in boss.get("/admin/").content
    assert staff.get(page).status_code == 403
    assert b"Open streams" not in staff.get("/admin/").content
    for client, status in ((Client(), 302), (client_of(make_visitor("member")), 302), (staff, 403)):
        assert client.post(end).status_code == status
    assert boss.get(end).status_code == 405
    forged = client_of(make_visitor("owner"), enforce_csrf_checks=True)
    assert forged.post(end).status_code in (302, 403)
    assert not ended


def test_it_tells_nothing_while_nothing_changes_and_nobody_reads() -> None:
    """It would be a timer for nothing."""
    homeloop.call(asyncio.sleep(0.2), 10)
    assert topic._telling is None or topic._telling.done()


def test_without_a_database_they_are_told_of_by_their_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(_: Any) -> Names:
        raise OperationalError("disk I/O error")

    monkeypatch.setattr(listing, "names_of", broken)
    homeloop.call(opened(Label("mjpeg", "yard")), 10)
    session = client_of(make_visitor("superuser")).cookies["sessionid"].value
    call = Call("/feeds/sessions/stream", HTTP_COOKIE=f"sessionid={session}")
    lines = lines_of(call)
    told = next(line["data"] for line in lines if line["event"] == "message")
    assert [line["title"] for line in told["streams"]] == ["yard"]
    call.close()


def test_a_fault_is_logged_and_the_next_look_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    whole, faults = listing.told, [RuntimeError("a fault")]

    def broken_once(*arguments: Any) -> Any:
        if faults:
            raise faults.pop()
        return whole(*arguments)

    monkeypatch.setattr(listing, "told", broken_once)
    session = client_of(make_visitor("superuser")).cookies["sessionid"].value
    call = Call("/feeds/sessions/stream", HTTP_COOKIE=f"sessionid={session}")
    lines = lines_of(call)
    assert "open" in next(line["data"] for line in lines if line["event"] == "message")
    assert "a fault" in caplog.text
    call.close()


async def test_the_end_of_each_who_tells_is_awaited() -> None:
    topic._read("", True)
    await asyncio.sleep(0)
    topic._read("", False)
    topic._read("", True)
    tasks = [*topic._ending, topic._telling]
    await topic.close_all()
    assert len(tasks) == 2
    assert all(task is not None and task.done() for task in tasks)
    assert not topic._ending

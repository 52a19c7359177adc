"""The ways out and the way in where another server pulls: WSGI, Django's clients, a foreign ASGI server."""

import asyncio
import json
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.test import AsyncClient, Client, RequestFactory

from media_library.signals import media_ready
from mediastream import homeloop
from mediastream.environment import ROOT
from mediastream.errors import StreamCut
from mediastream.feeds import hub
from mediastream.feeds.known import known
from mediastream.feeds.models import Topic
from mediastream.http.sse import Message, Parser
from tests.core.test_asgi_servers import a_client_that_stays
from tests.core.test_wsgi import Call
from tests.decoding import Decoder
from tests.handling import real_handler
from tests.media_library.conftest import client_of, collect_static, make_media, make_visitor

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("closed_after")]


def make_topic(name: str = "t", visibility: str = "public", **terms: Any) -> Topic:
    return Topic.objects.create(name=name, visibility=visibility, **terms)


def lines_of(chunks: Iterator[bytes]) -> Iterator[dict[str, Any]]:
    for chunk in chunks:
        for line in chunk.splitlines():
            if line:
                yield json.loads(line)


def publish(data: Any, topic: Topic, query: str = "") -> Any:
    headers = {"Authorization": f"Bearer {known(topic).token}"}
    # As curl -d sends it.
    kind = "application/x-www-form-urlencoded"
    return Client(enforce_csrf_checks=True).post(f"/feeds/{topic.name}/publish{query}", data, kind, headers=headers)


def test_wsgi() -> None:
    topic = make_topic(key_field="symbol")
    call = Call("/feeds/t/stream", QUERY_STRING="symbols=A")
    assert (call.status, call.headers["Content-Type"]) == (200, "application/x-ndjson")
    assert "Transfer-Encoding" not in call.headers
    lines = lines_of(iter(call.result))
    assert next(lines)["event"] == "open"
    for symbol in "BA":
        assert publish(json.dumps({"symbol": symbol}), topic).status_code == 200
    assert next(lines)["data"] == {"symbol": "A"}
    call.close()
    assert homeloop.call(readers("t"), 10) == 0


async def readers(name: str) -> int:
    return hub.feed(name).subscribers


@pytest.mark.parametrize(("coding", "beat"), [(None, b":\n\n"), ("gzip", b"\0\0\0\xff\xff"), ("zstd", b"\0\0\0")])
def test_an_event_stream_under_wsgi_has_heartbeats(
    coding: str | None, beat: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mediastream.pulling.HEARTBEAT", 0.05)
    topic = make_topic()
    call = Call("/feeds/t/events", HTTP_ACCEPT_ENCODING=coding or "identity")
    chunks, parser, decoder = iter(call.result), Parser(), Decoder(coding)
    parser.feed(decoder.feed(next(chunks)))
    assert parser.retry
    for number in range(3):
        quiet = next(chunks)
        assert quiet == beat
        decoder.feed(quiet)
        publish(f"hello {number}", topic, "?event=greeting")
        found: list[Message] = []
        while not found:
            found = parser.feed(decoder.feed(next(chunks)))
        assert (found[0].event, found[0].data) == ("greeting", f"hello {number}")
    call.close()


@pytest.mark.parametrize(
    ("topic", "accept", "coding"),
    [
        ({}, "gzip, deflate, br, zstd", "zstd"),
        ({}, "gzip", "gzip"),
        ({}, "gzip;q=0", None),
        ({}, "gzip;q=2", None),
        ({"compressed": False}, "gzip", None),
        ({"visibility": "members"}, "gzip", None),
        ({"visibility": "private"}, "gzip", None),
    ],
)
@pytest.mark.parametrize("way", ["events", "stream"])
def test_how_a_stream_is_compressed(topic: dict[str, Any], accept: str, coding: str | None, way: str) -> None:
    """Nothing that is not for everybody is; and HEAD says the same."""
    make_topic(**topic)
    client = client_of(make_visitor("superuser"))
    asked = {"Accept-Encoding": accept}
    for answer in (client.head(f"/feeds/t/{way}", headers=asked), client.get(f"/feeds/t/{way}", headers=asked)):
        assert answer.headers.get("Content-Encoding") == coding
        assert "Accept-Encoding" in answer.headers["Vary"]
        answer.close()


def test_a_topic_that_is_no_longer_public_is_no_longer_compressed() -> None:
    """Who reads it compressed is ended, and comes again."""
    topic = make_topic()
    call = Call("/feeds/t/stream", HTTP_ACCEPT_ENCODING="gzip")
    chunks, decoder = iter(call.result), Decoder("gzip")
    assert json.loads(decoder.feed(next(chunks)))["event"] == "open"
    topic.visibility = "members"
    topic.save()
    with suppress(StreamCut):
        for chunk in chunks:
            decoder.feed(chunk)
    call.close()
    assert homeloop.call(readers("t"), 10) == 0


async def test_another_asgi_server() -> None:
    topic = await asyncio.to_thread(make_topic)
    with real_handler() as handler:
        sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        scope = {
            "type": "http", "http_version": "1.1", "method": "GET", "path": "/feeds/t/events",
            "raw_path": b"/feeds/t/events", "root_path": "", "query_string": b"", "scheme": "http",
            "headers": [(b"host", b"localhost")],
        }  # fmt: skip
        task = asyncio.create_task(handler(scope, a_client_that_stays(), sent.put))
        parser = Parser()
        async with asyncio.timeout(30):
            start = await sent.get()
            assert (b"X-Accel-Buffering", b"no") in start["headers"]
            parser.feed((await sent.get())["body"])
            await asyncio.to_thread(publish, "a\nb", topic)
            (message,) = parser.feed((await sent.get())["body"])
        assert (message.data, message.last_id) == ("a\nb", str(hub.feed("t").cursor))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert hub.feed("t").subscribers == 0
        await hub.close_all()


async def test_djangos_asynchronous_client() -> None:
    await asyncio.to_thread(make_topic)
    response: Any = await AsyncClient().get("/feeds/t/events")
    async for chunk in response:
        assert chunk.startswith(b"retry: ")
        break
    response.close()


@pytest.mark.parametrize(
    ("token", "status"), [("", 401), ("Bearer", 401), ("Basic x", 401), ("Bearer wrong", 403), ("Bearer é", 403)]
)
def test_publishing_needs_the_token(token: str, status: int) -> None:
    make_topic()
    assert Client().post("/feeds/t/publish", "1", "text/plain", headers={"Authorization": token}).status_code == status


def test_no_token_tells_which_topics_there_are() -> None:
    make_topic()
    answers = [Client().post(f"/feeds/{name}/publish", headers={"Authorization": "Bearer x"}) for name in ("t", "none")]
    assert answers[0].content == answers[1].content


def test_a_new_token_ends_the_old_one() -> None:
    topic = make_topic()
    headers = {"Authorization": f"Bearer {known(topic).token}"}
    assert Client().post("/feeds/t/publish", "1", "text/plain", headers=headers).status_code == 200
    boss = client_of(make_visitor("superuser"))
    boss.post("/admin/feeds/topic/", {"action": "new_tokens", "_selected_action": [topic.pk]})
    assert Client().post("/feeds/t/publish", "1", "text/plain", headers=headers).status_code == 403


@pytest.mark.parametrize(("data", "status"), [(b"\xff", 400), (b'"\\ud800"', 400), (b"", 200), (b"[1", 200)])
def test_what_is_published(data: bytes, status: int) -> None:
    assert publish(data, make_topic()).status_code == status


@pytest.mark.parametrize("query", ["?event=a%0Ab", f"?key={'x' * 65}"])
def test_names_that_are_none(query: str) -> None:
    assert publish(b"1", make_topic(), query).status_code == 400


@pytest.mark.parametrize("name", ["a/b", "..", " a", "a\n", "a\\b", ""])
def test_names_a_topic_cannot_have(name: str) -> None:
    with pytest.raises(ValidationError):
        Topic(name=name).full_clean()


def test_a_topic_in_the_admin() -> None:
    collect_static()
    topic = make_topic("prices <b>", source="simulator")
    boss = client_of(make_visitor("superuser"))
    assert boss.get("/admin/feeds/topic/").status_code == 200
    assert boss.get("/admin/feeds/topic/add/").status_code == 200
    page = boss.get(f"/admin/feeds/topic/{topic.pk}/change/").content.decode()
    assert known(topic).token in page
    assert "prices%20%3Cb%3E/publish" in page


def test_the_page_shows_what_the_visitor_may_read() -> None:
    collect_static()
    make_topic("</script>", "public")
    make_topic("secret", "private")
    page = Client().get("/feeds/").content.decode()
    assert "secret" not in page
    assert '</script>"' not in page
    assert "secret" in client_of(make_visitor("superuser")).get("/feeds/").content.decode()


def test_what_is_stored_for_all_is_told_and_nothing_else() -> None:
    Topic.objects.get_or_create(name="activity", defaults={"visibility": "public"})
    call = Call("/feeds/activity/stream")
    lines = lines_of(iter(call.result))
    assert next(lines)["event"] == "open"
    for visibility in ("private", "members", "public"):
        media_ready.send(None, media=make_media(visibility=visibility, title=visibility))
    assert next(lines)["data"]["title"] == "public"
    call.close()


async def test_the_guides_view_cleans_up_when_its_reader_leaves() -> None:
    defaults = {"visibility": "public"}
    topic, _ = await Topic.objects.aget_or_create(name="market", defaults=defaults)
    code = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "feeds.md").read_text(), re.DOTALL)[-1]
    made: dict[str, Any] = {}
    exec(code, made)
    response = await made["prices"](RequestFactory().get("/prices"))
    chunks = aiter(response)
    assert json.loads(await anext(chunks))["event"] == "open"
    await asyncio.to_thread(publish, b"1", topic)
    assert json.loads(await anext(chunks))["data"] == 1
    await chunks.aclose()
    await response.aclose()
    assert await homeloop.run(readers("market")) == 0

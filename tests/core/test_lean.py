"""The short road leaves out Django's middlewares and nothing else: signals, error pages, the log and both of Django's
test clients know its views as they know any other."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio
from django.contrib.auth import get_user_model
from django.core.signals import got_request_exception, request_finished, request_started
from django.http import HttpRequest
from django.test import AsyncClient, Client

from mediastream import watch
from mediastream.handler import MediaHandler
from mediastream.lean import lean_match
from mediastream.receiving import Disconnected
from tests.core.lean_surface import RAISED, SECRET, STATUSES
from tests.handling import real_handler
from tests.media_library.conftest import client_of, collect_static

SURFACE = "tests.core.lean_surface"
BROWSER = "text/html,*/*;q=0.8"


@pytest.fixture(autouse=True)
def this_surface(settings: Any) -> None:
    collect_static()
    settings.ROOT_URLCONF = SURFACE


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class Asker:
    """Calls the handler as an ASGI server does that is not ours."""

    handler: MediaHandler
    cookies: dict[str, str] = field(default_factory=dict)

    async def __call__(self, path: str, method: str = "GET", accept: str = "*/*", **scope: Any) -> Answer:
        headers = [(b"host", b"localhost"), (b"accept", accept.encode())]
        headers += [(b"cookie", f"{name}={value}".encode()) for name, value in self.cookies.items()]
        address, _, query = path.partition("?")
        full = {"type": "http", "http_version": "1.1", "method": method, "path": address, "headers": headers,
                "query_string": query.encode(), "scheme": "http", "client": ("127.0.0.1", 1), **scope}  # fmt: skip
        sent: list[dict[str, Any]] = []
        received = iter([{"type": "http.request", "body": b"", "more_body": False}])

        async def receive() -> dict[str, Any]:
            message = next(received, None)
            if message is None:
                await asyncio.Event().wait()
            assert message is not None
            return message

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        async with asyncio.timeout(20):
            await self.handler(full, receive, send)
        head = {name.decode().lower(): value.decode() for name, value in sent[0]["headers"]}
        assert not sent[-1].get("more_body")
        return Answer(sent[0]["status"], head, b"".join(message.get("body", b"") for message in sent[1:]))


@pytest_asyncio.fixture
async def ask() -> AsyncIterator[Asker]:
    with real_handler() as handler:
        yield Asker(handler)
        await watch.end()


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """What Django's own logger, which keeps to itself, says of requests."""
    logger = logging.getLogger("django.request")
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)


def errors(log: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in log.records if record.levelno >= logging.ERROR]


async def test_no_middleware_sees_a_lean_view_and_all_see_a_page(ask: Asker) -> None:
    assert (await ask("/chained")).body == b"False"
    assert "x-frame-options" not in (await ask("/hello")).headers
    assert (await ask("/page")).headers["x-frame-options"] == "SAMEORIGIN"


@pytest.mark.parametrize(
    ("path", "prefix", "found"),
    [
        ("/hello", "", True),
        ("/page", "", False),
        ("/nowhere", "", False),
        ("/below/hello", "/below", True),
        ("/below/hello", "", False),
    ],
)
def test_which_views_take_the_short_road(path: str, prefix: str, found: bool) -> None:
    match = lean_match({"path": path, "root_path": prefix})
    assert (match is not None) == found


async def test_a_host_that_is_not_ours_is_refused_whoever_came_before(ask: Asker, settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["films.example"]
    headers = {host: [(b"host", host.encode())] for host in ("films.example", "films.example:8000", "evil.example")}
    for _ in range(2):
        statuses = [(await ask("/hello", headers=lines)).status for lines in headers.values()]
        assert statuses == [200, 200, 400]
    settings.ALLOWED_HOSTS = ["tv.example"]
    assert (await ask("/hello", headers=headers["films.example"])).status == 400


async def test_without_a_host_it_is_the_servers_own_name(ask: Asker, settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["films.example"]
    for name, status in (("films.example", 200), ("evil.example", 400)):
        assert (await ask("/hello", headers=[], http_version="1.0", server=(name, 80))).status == status


async def test_a_proxys_word_for_the_host_is_checked_each_time(ask: Asker, settings: Any) -> None:
    settings.ALLOWED_HOSTS, settings.USE_X_FORWARDED_HOST = ["films.example"], True
    ours, theirs = (b"host", b"films.example"), (b"x-forwarded-host", b"evil.example")
    assert (await ask("/hello", headers=[ours])).status == 200
    assert (await ask("/hello", headers=[ours, theirs])).status == 400


async def test_another_urlconf_has_other_views(ask: Asker, settings: Any) -> None:
    assert (await ask("/hello")).body == b"hello you"
    settings.ROOT_URLCONF = "tests.core.other_surface"
    assert (await ask("/hello")).body == b"plain True"
    settings.ROOT_URLCONF = SURFACE
    assert (await ask("/hello?name=him")).body == b"hello him"


@pytest.mark.parametrize("path", ["/hello", "/stream", "/raising/bug", "/raising/unknown", "/page", "/nowhere"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_receivers_of_both_signals_hear_of_each_request(ask: Asker, path: str, method: str) -> None:
    heard: list[str] = []

    def started(sender: Any, scope: Any, **_: Any) -> None:
        heard.append(f"started {scope['path']}")

    async def started_too(sender: Any, **_: Any) -> None:
        heard.append("started")

    def finished(sender: Any, **_: Any) -> None:
        heard.append("finished")

    request_started.connect(started)
    request_started.connect(started_too)
    request_finished.connect(finished)
    await ask(path, method)
    assert sorted(heard[:2]) == ["started", f"started {path}"]
    assert heard[2:] == ["finished"]


@pytest.mark.parametrize("accept", ["*/*", BROWSER])
@pytest.mark.parametrize("what", RAISED)
async def test_what_a_view_raises_becomes_the_page_or_json_that_it_is_elsewhere(
    ask: Asker, what: str, accept: str
) -> None:
    """And the same as behind the whole chain."""
    answer = await ask(f"/raising/{what}", accept=accept)
    assert answer.status == STATUSES[what]
    assert SECRET.encode() not in answer.body
    assert answer.headers["cache-control"] == "no-store"
    if accept == BROWSER:
        assert answer.headers["content-type"].startswith("text/html")
        assert b"<html" in answer.body
    else:
        assert set(json.loads(answer.body)) == {"error", "detail"}
    chained = await AsyncClient(raise_request_exception=False).get(f"/raising/{what}", headers={"Accept": accept})
    assert (chained.status_code, chained.content) == (answer.status, answer.body)


async def test_head_gets_the_same_without_a_body(ask: Asker) -> None:
    for address in ("/hello", "/raising/unknown", "/raising/bug"):
        whole, head = await ask(address), await ask(address, "HEAD")
        assert (head.status, head.headers, head.body) == (whole.status, whole.headers, b"")
    assert (await ask("/stream", "HEAD")).body == b""


async def test_a_bug_is_told_to_who_listens_for_it(ask: Asker) -> None:
    heard: list[Any] = []

    def receiver(request: HttpRequest, **_: Any) -> None:
        heard.append(request.path)

    got_request_exception.connect(receiver)
    await ask("/raising/unknown")
    await ask("/raising/bug")
    got_request_exception.disconnect(receiver)
    assert heard == ["/raising/bug"]


async def test_a_bug_is_logged_once_with_its_traceback(ask: Asker, log: pytest.LogCaptureFixture) -> None:
    await ask("/raising/bug")
    (record,) = errors(log)
    assert record.getMessage() == "Internal Server Error: /raising/bug"
    assert record.exc_info is not None
    assert SECRET in str(record.exc_info[1])


@pytest.mark.parametrize("road", ["lean", "whole chain"])
async def test_a_failure_of_ours_is_logged_with_its_reason(
    ask: Asker, log: pytest.LogCaptureFixture, road: str
) -> None:
    """The answer says less than the log may, and "Internal Server Error" alone helps nobody."""
    if road == "lean":
        await ask("/raising/own-500")
    else:
        await AsyncClient().get("/raising/own-500")
    (record,) = errors(log)
    assert record.exc_info is not None
    assert "The disk is broken." in str(record.exc_info[1])


@pytest.mark.parametrize(("status", "lines"), [(500, 1), (503, 1), (404, 0), (200, 0)])
async def test_a_returned_5xx_is_logged_as_django_does(
    ask: Asker, log: pytest.LogCaptureFixture, status: int, lines: int
) -> None:
    assert (await ask(f"/returning/{status}")).body == b"as it is"
    assert len(errors(log)) == lines


async def test_a_limit_that_is_reached_is_no_error_of_ours(ask: Asker, log: pytest.LogCaptureFixture) -> None:
    answer = await ask("/raising/busy")
    assert answer.headers["retry-after"] == "5"
    assert errors(log) == []


async def test_a_client_that_is_gone_is_no_error_either(
    ask: Asker, log: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(RAISED, "bug", Disconnected())
    with pytest.raises(IndexError):  # nothing is sent
        await ask("/raising/bug")
    assert errors(log) == []


async def test_a_wrong_host_is_refused(ask: Asker) -> None:
    answer = await ask("/hello", headers=[(b"host", b"evil.example")])
    assert answer.status == 400


@pytest.mark.parametrize("query", [b"name=%FF%FE", b"name=\xff"])
async def test_a_query_that_is_no_text_is_answered(ask: Asker, query: bytes) -> None:
    assert (await ask("/hello", query_string=query)).status in (200, 400)


@pytest.mark.django_db  # once a client has been used, a request may look after a connection that is there
async def test_djangos_test_clients_reach_the_same_views_behind_the_whole_chain(ask: Asker) -> None:
    """Where a test asks so, what the middlewares would do is seen too."""
    answers: list[Callable[[], Any]] = [lambda: Client().get("/stream"), lambda: Client().get("/hello?name=her")]
    for get in answers:
        response = await asyncio.to_thread(get)
        assert response.status_code == 200
        content = b"".join(response) if response.streaming else response.content
        assert content == ((await ask("/stream")).body if response.streaming else b"hello her")
        assert response["X-Frame-Options"] == "SAMEORIGIN"
        response.close()
    response = await AsyncClient().get("/hello?name=him")
    assert (response.status_code, response.content) == (200, b"hello him")
    stream = await AsyncClient().get("/stream")
    assert b"".join([chunk async for chunk in stream]) == b"......."
    await asyncio.to_thread(stream.close)


@pytest.mark.django_db(transaction=True)
def test_a_session_is_read_when_a_view_asks_who_it_is() -> None:
    user = get_user_model().objects.create_user("somebody")
    key = client_of(user).cookies["sessionid"].value

    async def main() -> tuple[bytes, bytes]:
        with real_handler() as handler:
            ask = Asker(handler, {"sessionid": key})
            named = (await ask("/whoami")).body
            ask.cookies = {"sessionid": "nonsense"}
            nobody = (await ask("/whoami")).body
            await watch.end()
            return named, nobody

    assert asyncio.run(main()) == (b"somebody", b"")

"""The real handler in gunicorn's own task for a connection: each request has its context, each end is told once."""

import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.signals import request_finished, request_started

from mediastream import streams
from mediastream.handler import MediaHandler
from tests.server import surface
from tests.server.serving import Serving, read_response, read_to_end, wait_until
from tests.server.test_granted import answer, ranged

Served = Callable[..., Serving]


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


def test_a_body_that_fails_as_nobody_foresaw_is_a_cut(served: Served) -> None:
    serving = served()
    streams._totals.pop("test", None)
    with serving.connect() as client:
        client.sendall(get("/broken"))
        assert not read_to_end(client).endswith(b"0\r\n\r\n")
    serving.wait_for_no_client()
    assert dict(streams.totals()["test"].ended) == {"cut": 1}
    assert surface.state.closed == 1
    assert serving.log.errors() == ["Error in ASGI application"]


def test_a_page_knows_nothing_of_the_one_before_on_its_connection(served: Served) -> None:
    """A proxy sends the requests of many people over one connection, and whatever notes in a context variable who
    asks, or their language, takes the context for that of one request."""
    serving = served()
    with serving.connect() as client:
        for _ in range(3):
            assert answer(client, get("/noting-page"))[1] == b"nothing"


@pytest.fixture
def told() -> Iterator[list[tuple[str, Any]]]:
    """Which of Django's signals were sent, and by whom."""
    heard: list[tuple[str, Any]] = []

    def started(sender: Any, **_: Any) -> None:
        heard.append(("started", sender))

    def finished(sender: Any, **_: Any) -> None:
        heard.append(("finished", sender))

    request_started.connect(started)
    request_finished.connect(finished)
    yield heard
    request_started.disconnect(started)
    request_finished.disconnect(finished)


ONCE = [("started", MediaHandler), ("finished", MediaHandler)]


@pytest.mark.parametrize("path", ["/small?n=1", "/abandoned", "/noting-page", "/nowhere", "/failing", "/file"])
def test_djangos_signals_are_sent_once_for_each_request(served: Served, told: Any, path: str) -> None:
    serving = served()
    with serving.connect() as client:
        for number in (1, 2):
            answer(client, get(path))
            wait_until(lambda number=number: len(told) >= 2 * number, "the signals")
    serving.wait_for_no_client()
    assert told == ONCE * 2


@pytest.mark.parametrize("path", ["/waiting", "/waiting-page"])
def test_a_client_that_leaves_a_view_ends_it_and_the_signals_are_sent(served: Served, told: Any, path: str) -> None:
    serving = served()
    with serving.connect() as client:
        client.sendall(get(path))
        wait_until(lambda: surface.state.waiting == 1, "the view")
    started = time.monotonic()
    wait_until(lambda: surface.state.waiting == 0, "the view's end")
    assert time.monotonic() - started < 2  # gunicorn would leave it three seconds to find out
    wait_until(lambda: len(told) >= 2, "the signals")
    assert told == ONCE
    assert serving.log.errors() == []


PARTS: dict[str, bytes] = {
    "nothing": b"",
    "half a head": b"GET /file HT",
    "a head without its end": b"GET /file HTTP/1.1\r\nHost: localhost\r\n",
    "half a body": b"POST /small HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nabc",
    "half a chunk": b"POST /small HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
    "half a page's body": b"POST /noting-page HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nabc",
    "a request": get("/small?n=1"),
    "a request for a file": get("/file"),
    "a request for a range": ranged("bytes=0-"),
    "a request and half of the next": get("/small?n=1") + b"GET /sm",
    "two requests": get("/file") + get("/file"),
    "a view that waits": get("/waiting"),
    "no request": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
}


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("sent", PARTS.values(), ids=PARTS)
def test_a_client_that_leaves_in_any_state_leaves_nothing(served: Served, sent: bytes, reset: bool) -> None:
    serving = served()
    for pause in (0.0, 0.0, 0.001, 0.01, 0.05):
        client = serving.connect(4096)
        client.sendall(sent)
        time.sleep(pause)
        if reset:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
    serving.wait_for_no_client()
    wait_until(lambda: not streams.open_streams(), "the streams to end")
    wait_until(lambda: surface.state.waiting == 0, "the views to end")
    assert serving.worker.nr_conns == 0
    assert serving.log.errors() == []
    with serving.connect() as client:
        assert answer(client, ranged("bytes=5-9"))[1] == surface.state.path.read_bytes()[5:10]


def test_a_client_that_half_closes_gets_what_was_ready(served: Served) -> None:
    """Its end of stream is all that is seen of a client that leaves; so it ends what is under way, in good order."""
    serving = served()
    with serving.connect() as client:
        client.sendall(get("/small?n=1"))
        read_response(client)
        client.shutdown(socket.SHUT_WR)
        assert read_to_end(client) == b""
    serving.wait_for_no_client()

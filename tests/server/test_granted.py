"""Further ranges of a file that somebody was just let in to, answered without Django: over real sockets, on both
event loops, by the real handler."""

import random
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.core.signals import request_finished, request_started
from django.dispatch import Signal

from mediastream import delivery
from mediastream.handler import MediaHandler
from mediastream.server.connection import Connection
from tests.server import surface
from tests.server.conftest import content
from tests.server.serving import Serving, read_response, read_to_end, wait_until

Served = Callable[..., Serving]


def ranged(wanted: str, *lines: str, path: str = "/file") -> bytes:
    head = [f"GET {path} HTTP/1.1", "Host: localhost", *lines, f"Range: {wanted}", "", ""]
    return "\r\n".join(head).encode()


def answer(client: socket.socket, request: bytes) -> tuple[bytes, bytes]:
    """Head and body; nothing comes after them."""
    client.sendall(request)
    head, body, rest = read_response(client)
    assert rest == b""
    return head, body


def fields(head: bytes) -> tuple[bytes, dict[bytes, bytes]]:
    """Status line and fields, but for the time."""
    status, *lines = head.split(b"\r\n")
    named = dict(line.split(b": ", 1) for line in lines)
    assert len(named) == len(lines)
    assert named.pop(b"Date").endswith(b" GMT")
    return status, named


def is_granted(serving: Serving, client: socket.socket, request: bytes) -> bool:
    """Whether the view was not asked."""
    before = surface.state.asked
    answer(client, request)
    return surface.state.asked == before


def test_a_granted_answer_is_the_same_as_the_long_ways(served: Served) -> None:
    serving = served()
    with serving.connect() as client:
        long = [answer(client, ranged("bytes=1000-1999"))]
        surface.state.right.same = False
        long.append(answer(client, ranged("bytes=5-14")))
        assert surface.state.asked == 2
        surface.state.right.same = True
        granted = [answer(client, ranged("bytes=1000-1999")), answer(client, ranged("bytes=5-14"))]
        assert surface.state.asked == 2
    for (long_head, long_body), (head, body) in zip(long, granted, strict=True):
        assert fields(head) == fields(long_head)
        assert body == long_body
    assert fields(granted[1][0])[1][b"Content-Range"] == b"bytes 5-14/3000000"


def test_random_ranges(served: Served) -> None:
    serving = served()
    chance = random.Random(3)
    size = len(content())
    with serving.connect() as client:
        answer(client, ranged("bytes=0-0"))
        for _ in range(150):
            start, stop = sorted(chance.sample(range(size), 2))
            wanted, expected = chance.choice(
                [
                    (f"bytes={start}-{stop}", content()[start : stop + 1]),
                    (f"bytes={start}-", content()[start:]),
                    (f"bytes=-{stop}", content()[-stop:]),
                    (f"bytes={start}-{size + stop}", content()[start:]),
                ]
            )
            assert answer(client, ranged(wanted))[1] == expected
    assert surface.state.asked < 10  # a grant lasts for a second


def test_another_connection_is_granted_too_and_its_first_request_needs_no_task(served: Served) -> None:
    serving = served()
    with serving.connect() as first:
        answer(first, ranged("bytes=0-9"))
        with serving.connect() as second:
            assert is_granted(serving, second, ranged("bytes=10-19"))
            assert sorted(connection._task is None for connection in serving.worker.connections) == [False, True]
            assert answer(second, b"GET /small?n=1 HTTP/1.1\r\nHost: localhost\r\n\r\n")[1] == b"small 1"[:6]


@pytest.mark.parametrize("lines", [("Connection: close",), ("connection: Close",)])
def test_nothing_is_granted_to_whom_the_connection_is_closed(served: Served, lines: tuple[str, ...]) -> None:
    serving = served()
    for asked in (1, 2):
        with serving.connect() as client:
            client.sendall(ranged("bytes=0-9", *lines))
            assert b"\r\nConnection: close\r\n" in read_to_end(client)
        assert surface.state.asked == asked


def test_nothing_is_granted_where_gunicorn_keeps_no_connection(served: Served) -> None:
    """--keep-alive 0: each answer says so, and ends it."""
    serving = served(keepalive=0)
    for asked in (1, 2):
        with serving.connect() as client:
            client.sendall(ranged("bytes=0-9"))
            assert b"\r\nConnection: close\r\n" in read_to_end(client)
        assert surface.state.asked == asked


@pytest.mark.parametrize(
    "request_text",
    [
        "GET /file HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\nRange: bytes=0-9\r\n\r\n",
        "GET /file HTTP/1.1\r\nHost: localhost\r\nRANGE: bytes=0-9\r\n\r\n",
        "GET /file HTTP/1.1\r\nHost: localhost\r\nRange:bytes=0-9\r\n\r\n",
        "GET /file HTTP/1.1\r\nHost: localhost\r\nRange: bytes=0-9 \r\n\r\n",
        "GET /file HTTP/1.1\r\nHost: localhost\r\nRange: bytes=0-9,\r\n\r\n",
        "GET /file HTTP/1.1\r\nHost: localhost\r\nRange: BYTES=0-9\r\n\r\n",
        "GET /file HTTP/1.1\r\nHost: localhost\r\nRange: bytes=0-9\r\nContent-Length: 0\r\n\r\n",
        "GET /file HTTP/1.1\r\nHost: localhost\r\nRange: bytes=0-9\r\nExpect: 100-continue\r\n\r\n",
        "GET /file HTTP/1.1\r\nHost: localhost\r\nRange: bytes=0-9\r\nUpgrade: h2c\r\n\r\n",
        "GET /file HTTP/1.1\r\nHost: localhost\r\nRange: bytes=0-9\r\nX: %s\r\n\r\n" % ("x" * 8150),
        "GET /file?cookie HTTP/1.1\r\nHost: localhost\r\nRange: bytes=0-9\r\n\r\n",
    ],
)
def test_what_is_answered_by_a_range_and_yet_not_granted(served: Served, request_text: str) -> None:
    """Each is answered twice, on one connection, by the view."""
    serving = served()
    with serving.connect() as client:
        for asked in (1, 2):
            head, body = answer(client, request_text.encode())
            assert head.split()[1] == b"206"
            assert body == content()[:10]
            assert surface.state.asked == asked


FOLDED = "GET /file HTTP/1.1\r\nHost: localhost\r\nRange: bytes=0-9\r\n X: y\r\n\r\n"


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (FOLDED, b"400"),
        (FOLDED.replace("\r\n X", "\r\n\tX"), b"400"),
        ("GET /file HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\nRange: bytes=0-9\r\n\r\n", b"400"),
        ("GET /file HTTP/1.1\r\nRange: bytes=0-9\r\n\r\n", b"400"),
        ("GET /file HTTP/1.1\r\nHost: localhost\r\nRange : bytes=0-9\r\n\r\n", b"400"),
        ("GET /file HTTP/1.1\nHost: localhost\r\nRange: bytes=0-9\r\n\r\n", b"400"),
        ("GET /file HTTP/1.1\r\nHost: localhost\r\nRange: bytes=0-9\r\nRange: bytes=5-6\r\n\r\n", b"200"),
        ("GET /file HTTP/1.1\r\nHost: localhost\r\nRange: bytes=0-9\r\nrange: bytes=5-6\r\n\r\n", b"200"),
        ("GET /file HTTP/1.1\r\nHost: localhost\r\nRange: bytes=0-9\r\nRANGE: bytes=5-6\r\n\r\n", b"200"),
        ("GET /file HTTP/1.1\r\nHost: localhost\r\nRange: bytes=3000000-\r\n\r\n", b"416"),
        ("GET /file HTTP/1.1\r\nHost: localhost\r\nRange: bytes=9-0\r\n\r\n", b"200"),
        ("GET /file HTTP/1.1\r\nHost: localhost\r\nRange: bytes=0-1,5-6\r\n\r\n", b"206"),
        ("GET /file HTTP/1.1\r\nHost: localhost\r\nRange: bytes=0-\xb2\r\n\r\n", b"200"),
        ("GET /file HTTP/1.1\r\nHost: localhost\r\nRange: bytes=0-9\r\nContent-Length: 3\r\n\r\nGET", b"400"),
        ("GET /file HTTP/1.1\r\nHost: localhost\r\nRange: bytes=0-9\r\nIf-Range: \"x\"\r\n\r\n", b"200"),
        ("POST /file HTTP/1.1\r\nHost: localhost\r\nRange: bytes=0-9\r\n\r\n", b"405"),
    ],
)  # fmt: skip
def test_what_a_grant_for_the_like_of_it_does_not_let_pass(served: Served, text: str, status: bytes) -> None:
    """Asked beside a grant for the plain request, before and after it was asked once itself."""
    serving = served()
    with serving.connect() as client:
        answer(client, ranged("bytes=0-9"))
    for _ in range(2):
        with serving.connect() as client:
            client.sendall(text.encode("latin-1"))
            assert read_response(client)[0].split()[1] == status


LOOKS_GRANTED = ranged("bytes=0-9")


@pytest.mark.parametrize(
    ("before", "status"),
    [
        (b"GET /small?n=1 HTTP/1.1\r\nX-Value: ", b"200"),
        (b"GET /small?n=1 HTTP/1.1\r\nHost: localhost\r\nX-Value: ", b"400"),
        (b"POST /small?n=1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(LOOKS_GRANTED), b"200"),
        (b"POST /small?n=1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999\r\n\r\n", None),
        (b"GET /", b"400"),
        (b"PRI * HTTP/2.0\r\n", b"400"),
    ],
)
@pytest.mark.parametrize("rest", [0.0, 0.05])
@pytest.mark.parametrize("h2c", ["off", "both"])
def test_what_is_part_of_another_request_is_none(
    served: Served, before: bytes, status: bytes | None, rest: float, h2c: str
) -> None:
    """Bytes that look like a request to be granted, in a packet of their own."""
    serving = served(http_protocols="h1" if h2c == "off" else "h1,h2", http2_cleartext=h2c)
    with serving.connect() as client:
        answer(client, LOOKS_GRANTED)
    with serving.connect() as client:
        client.sendall(before)
        time.sleep(rest)
        client.sendall(LOOKS_GRANTED)
        if status is None:
            client.settimeout(0.2)
            with pytest.raises(TimeoutError):
                client.recv(1)
        else:
            head, _, rest_of_it = read_response(client)
            assert (head.split()[1], rest_of_it) == (status, b"")
    assert surface.state.asked == 1


@pytest.mark.parametrize("field", ["Cookie: a=b", "Host: 127.0.0.1", "Authorization: x", "Accept: text/html"])
def test_another_field_is_another_request(served: Served, field: str) -> None:
    serving = served()
    with serving.connect() as client:
        answer(client, ranged("bytes=0-9"))
        lines = [field] if not field.startswith("Host") else []
        text = ranged("bytes=0-9", *lines)
        if not lines:
            text = text.replace(b"Host: localhost", field.encode())
        assert not is_granted(serving, client, text)
        assert is_granted(serving, client, text)


@pytest.mark.parametrize("where", ["first", "last"])
def test_the_range_may_stand_anywhere_in_the_head(served: Served, where: str) -> None:
    serving = served()
    lines = [b"GET /file HTTP/1.1", b"Host: localhost", b"X-Other: 1"]
    lines.insert(1 if where == "first" else 3, b"Range: bytes=3-5")
    with serving.connect() as client:
        answer(client, ranged("bytes=0-9", "X-Other: 1"))
        before = surface.state.asked
        assert answer(client, b"\r\n".join([*lines, b"", b""]))[1] == content()[3:6]
        assert surface.state.asked == before


def test_conditions_that_held_are_part_of_what_is_granted(served: Served) -> None:
    serving = served()
    with serving.connect() as client:
        etag = dict(fields(answer(client, ranged("bytes=0-9"))[0])[1])[b"ETag"].decode()
        text = ranged("bytes=0-9", f"If-Range: {etag}", 'If-None-Match: "other"')
        assert not is_granted(serving, client, text)
        assert is_granted(serving, client, text)


@pytest.mark.parametrize("hook", ["pre_request", "post_request"])
def test_gunicorns_hooks_see_every_request(served: Served, hook: str) -> None:
    seen: list[str] = []
    hooks = {
        "pre_request": lambda worker, request: seen.append(request.path),
        "post_request": lambda worker, request, environ, response: seen.append(request.path),
    }
    serving = served(**{hook: hooks[hook]})
    with serving.connect() as client:
        for _ in range(3):
            answer(client, ranged("bytes=0-9"))
        answer(client, b"GET /small?n= HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert seen[:3] == ["/file"] * 3


def test_gunicorns_access_log_sees_every_request(served: Served) -> None:
    serving = served()
    serving.log.access_log_wanted = True
    with serving.connect() as client:
        for _ in range(3):
            answer(client, ranged("bytes=0-9"))
        answer(client, b"GET /small?n= HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert [level for level, _ in serving.log.said if level == "access"][:3] == ["access"] * 3


@pytest.mark.parametrize("signal", [request_started, request_finished])
def test_receivers_of_djangos_signals_hear_of_every_request(served: Served, signal: Signal) -> None:
    heard: list[Any] = []

    def receiver(**arguments: Any) -> None:
        heard.append(arguments["sender"])

    serving = served()
    signal.connect(receiver)
    with serving.connect() as client:
        for _ in range(3):
            answer(client, ranged("bytes=0-9"))
        answer(client, b"GET /small?n= HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert heard[:3] == [MediaHandler] * 3


def test_a_grant_lasts_for_a_second(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    assert delivery.LIFE == 1.0
    monkeypatch.setattr(delivery, "LIFE", 0.2)
    serving = served()
    with serving.connect() as client:
        answer(client, ranged("bytes=0-9"))
        (grant,) = serving.worker.grants._kept.values()
        wait_until(lambda: not grant.stands(), "the end of the grant")
        assert not is_granted(serving, client, ranged("bytes=0-9"))
        assert grant.file.fd == -1


def test_without_zero_copy_there_are_no_grants(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """As over TLS."""
    monkeypatch.setattr(Connection, "can_send_files", property(lambda self: False))
    serving = served()
    with serving.connect() as client:
        for asked in (1, 2):
            assert answer(client, ranged("bytes=10-19"))[1] == content()[10:20]
            assert surface.state.asked == asked

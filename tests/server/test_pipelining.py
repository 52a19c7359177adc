"""Requests of every kind, some of them granted, in one stream of bytes that comes in pieces of any size: the answers
are those that each request gets alone."""

import socket
import threading
import time
from collections.abc import Callable

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.server.serving import Serving, read_to_end


def request(line: str, *fields: str, body: bytes = b"") -> bytes:
    return "\r\n".join([f"{line} HTTP/1.1", "Host: localhost", *fields, "", ""]).encode() + body


KINDS = [
    *(request("GET /file", f"Range: bytes={wanted}") for wanted in ("0-9", "500-70000", "2999990-", "-5", "5-5")),
    request("GET /file", "range: bytes=7-8"),
    request("GET /file", "RANGE: bytes=7-8"),
    request("GET /file", "Range: bytes=7-8", "X-After: 1"),
    request("GET /file", "Range: bytes=7-8", "Range: bytes=9-10"),
    request("GET /file", "Range: bytes=3000000-"),
    request("GET /file", "Range: bytes=9-1"),
    request("GET /file", "Range:bytes=1-2"),
    request("GET /file", 'If-Range: "other"', "Range: bytes=1-2"),
    request("GET /file", "If-None-Match: *", "Range: bytes=1-2"),
    request("GET /file", "Range: bytes=1-2", "Content-Length: 0"),
    request("GET /file", "Range: bytes=1-2", "Content-Length: 4", body=b"GET "),
    request("GET /file?cookie", "Range: bytes=1-2"),
    request("HEAD /file", "Range: bytes=1-2"),
    request("GET /small?n=1"),
    request("GET /nowhere", "Range: bytes=1-2"),
    request("POST /small?n=2", "Content-Length: 31", body=b"GET /file HTTP/1.1\r\nHost: x\r\n\r\n"),
    request("POST /small?n=3", "Transfer-Encoding: chunked", body=b"3\r\nabc\r\n0\r\n\r\n"),
    b"\r\n" + request("GET /file", "Range: bytes=1-2"),
]
LAST = request("GET /small?n=9", "Connection: close")


Answer = tuple[bytes, list[bytes], bytes]


def answers(received: bytes, methods: list[bytes]) -> list[Answer]:
    """Status line, fields but for the time, and body of each; all that came, and nothing but them."""
    found = []
    for method in methods:
        head, _, received = received.partition(b"\r\n\r\n")
        status, *fields = head.split(b"\r\n")
        lengths = [int(field[16:]) for field in fields if field.startswith(b"Content-Length: ")]
        size = 0 if method == b"HEAD" or b" 304 " in status else sum(lengths)
        found.append((status, sorted(field for field in fields if not field.startswith(b"Date: ")), received[:size]))
        received = received[size:]
    assert received == b""
    return found


def method_of(asked: bytes) -> bytes:
    return asked.lstrip().partition(b" ")[0]


def alone(serving: Serving, asked: bytes) -> Answer:
    """The answer on a connection of its own, asked so that nothing can be granted: in two pieces."""
    with serving.connect() as client:
        client.sendall(asked[:10])
        time.sleep(0.02)
        client.sendall(asked[10:] + LAST)
        return answers(read_to_end(client), [method_of(asked), b"GET"])[0]


def exchange(client: socket.socket, pieces: list[tuple[bytes, bool]]) -> bytes:
    """Send the pieces, resting after some, while all that comes is read."""

    def send() -> None:
        for piece, rest in pieces:
            client.sendall(piece)
            if rest:
                time.sleep(0.002)

    sending = threading.Thread(target=send)
    sending.start()
    received = read_to_end(client)
    sending.join()
    return received


@st.composite
def split_streams(draw: st.DrawFn) -> tuple[list[int], list[tuple[int, bool]]]:
    """Which requests, and where their bytes are cut, with or without a rest."""
    kinds = draw(st.lists(st.integers(0, len(KINDS) - 1), min_size=1, max_size=8))
    size = sum(len(KINDS[kind]) for kind in kinds)
    cuts = draw(st.lists(st.tuples(st.integers(1, size), st.booleans()), max_size=12))
    borders, position = [], 0
    for kind in kinds:
        position += len(KINDS[kind])
        borders.append((position, draw(st.booleans())))
    return kinds, sorted({**dict(cuts), **dict(borders if draw(st.booleans()) else [])}.items())


def test_any_split_gives_what_each_request_gets_alone(served: Callable[..., Serving]) -> None:
    serving = served()
    expected = [alone(serving, asked) for asked in [*KINDS, LAST]]

    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(split_streams())
    def check(drawn: tuple[list[int], list[tuple[int, bool]]]) -> None:
        kinds, cuts = drawn
        stream = b"".join(KINDS[kind] for kind in kinds) + LAST
        pieces, start = [], 0
        for stop, rest in cuts:
            pieces.append((stream[start:stop], rest))
            start = stop
        with serving.connect() as client:
            received = exchange(client, [*pieces, (stream[start:], False)])
        methods = [method_of(KINDS[kind]) for kind in kinds]
        assert answers(received, [*methods, b"GET"]) == [expected[kind] for kind in [*kinds, -1]]

    check()
    assert serving.log.errors() == []


STATUSES = b"206 206 206 206 206 206 206 206 200 416 200 206 200 304 206 400 206 200 200 404 200 200 206".split()


def test_every_kind_is_answered_as_expected(served: Callable[..., Serving]) -> None:
    """What the test above compares with is itself an answer, and whole."""
    serving = served()
    assert [alone(serving, asked)[0].split()[1] for asked in KINDS] == STATUSES

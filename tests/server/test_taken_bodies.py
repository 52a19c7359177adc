"""A view that takes its request's body as it comes, over real sockets: it sees the first piece before the last is
sent, and whoever is refused sees the answer."""

import json
import socket
from collections.abc import Callable

import pytest

from mediastream import receiving
from tests.server import surface
from tests.server.serving import Serving, read_response, read_to_end, wait_until
from tests.server.test_granted import answer

Served = Callable[..., Serving]
MOST = surface.MOST_BODY
SMALL = b"GET /small?n= HTTP/1.1\r\nHost: localhost\r\n\r\n"


def put(length: int | None, *lines: str, path: str = "/taking") -> bytes:
    framing = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    return "\r\n".join([f"PUT {path} HTTP/1.1", "Host: localhost", framing, *lines, "", ""]).encode()


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


@pytest.mark.parametrize("chunked", [False, True])
def test_the_first_piece_is_seen_before_the_last_is_sent(served: Served, chunked: bool) -> None:
    serving = served()
    framed: Callable[[bytes], bytes] = chunk if chunked else bytes
    with serving.connect() as client:
        client.sendall(put(None if chunked else 12) + framed(b"first"))
        wait_until(lambda: surface.state.pieces == [b"first"], "the first piece")
        client.sendall(framed(b"second!") + (b"0\r\n\r\n" if chunked else b""))
        assert json.loads(read_response(client)[1]) == [5, 7]
        assert answer(client, SMALL)[1] == b"small "  # the connection goes on
    assert surface.state.pieces == [b"first", b"second!"]


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("over", [0, 1])
def test_as_much_as_it_takes_and_no_byte_more(served: Served, over: int, chunked: bool) -> None:
    """However it is cut: the last piece alone may be the one too much."""
    serving = served()
    body = bytes(MOST + over)
    with serving.connect() as client:
        client.sendall(put(None) + chunk(body) + b"0\r\n\r\n" if chunked else put(len(body)) + body)
        head, text, _ = read_response(client)
    assert head.split()[1] == (b"413" if over else b"200")
    if over:
        assert json.loads(text)["error"] == "too_large"
    else:
        assert sum(json.loads(text)) == MOST
    assert sum(map(len, surface.state.pieces)) <= MOST


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("path", ["/taking", "/refusing"])
def test_who_is_refused_sees_the_answer_although_it_never_stops_to_listen(
    served: Served, path: str, chunked: bool
) -> None:
    """Closing a socket with unread bytes resets it, and the reset can overtake the answer (RFC 9112 section 9.6)."""
    serving = served()
    large = 4 * 1024 * 1024
    with serving.connect() as client:
        client.sendall(put(None if chunked else large, path=path))
        for _ in range(large // 65536):
            client.sendall(chunk(bytes(65536)) if chunked else bytes(65536))
        if chunked:
            client.sendall(b"0\r\n\r\n")
        received = read_to_end(client)
    assert received.split()[1] == (b"413" if path == "/taking" else b"403")
    assert b"\r\nConnection: close\r\n" in received
    assert serving.log.errors() == []


def test_who_waits_to_be_told_to_continue_sends_nothing_in_vain(served: Served) -> None:
    serving = served()
    with serving.connect() as client:
        client.sendall(put(100, "Expect: 100-continue", path="/refusing"))
        received = read_to_end(client)
    assert received.startswith(b"HTTP/1.1 403 ")
    with serving.connect() as client:
        client.sendall(put(5, "Expect: 100-continue"))
        assert client.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"12345")
        assert json.loads(read_response(client)[1]) == [5]


def test_a_body_that_stalls_is_given_up(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiving, "PATIENCE", 0.2)
    serving = served()
    with serving.connect() as client:
        client.sendall(put(100) + b"abc")
        received = read_to_end(client)
    assert received.startswith(b"HTTP/1.1 408 ")
    assert b"\r\nConnection: close\r\n" in received
    assert surface.state.pieces == [b"abc"]


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("sent", [b"", b"abc"])
def test_a_client_that_leaves_ends_the_reading(served: Served, sent: bytes, reset: bool) -> None:
    serving = served()
    client = serving.connect()
    client.sendall(put(100) + sent)
    wait_until(lambda: surface.state.waiting == 1, "the view")
    if reset:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.close()
    wait_until(lambda: surface.state.waiting == 0, "the view's end")
    serving.wait_for_no_client()
    assert serving.log.errors() == []


def test_a_request_without_a_body_has_no_pieces_and_the_connection_goes_on(served: Served) -> None:
    serving = served()
    with serving.connect() as client:
        for path, status in (("/taking", b"200"), ("/refusing", b"403")):
            head, _ = answer(client, f"PUT {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            assert head.split()[1] == status
            assert b"Connection: close" not in head
        assert answer(client, SMALL)[1] == b"small "

"""Protocols that take a connection over, behind our Connection: WebSockets, and HTTP/2 by upgrade and at once."""

import base64
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

from mediastream.server.connection import HEAD_PATIENCE, PATIENCE
from tests.server import surface
from tests.server.serving import Serving, read_to_end, wait_until
from tests.server.test_granted import answer, ranged
from tests.system.websocket import BINARY, CLOSE, PING, PONG, TEXT, Refused, WebSocket

Serve = Callable[..., Serving]


class Echo:
    """Says again what it is told; "many N" is answered by N kilobytes, "bye" by the end. `ended`: how it ended."""

    def __init__(self) -> None:
        self.scopes: list[dict[str, Any]] = []
        self.ended: list[dict[str, Any]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
            await send({"type": "http.response.body", "body": b"ok"})
            return
        self.scopes.append(scope)
        assert (await receive())["type"] == "websocket.connect"
        if scope["path"] == "/refused":
            await send({"type": "websocket.close"})
            return
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            text = message.get("text")
            if text == "bye":
                await send({"type": "websocket.close", "code": 1000})
            elif text is not None and text.startswith("many "):
                for _ in range(int(text.split()[1])):
                    await send({"type": "websocket.send", "bytes": bytes(1024)})
            else:
                await send({**message, "type": "websocket.send"})
        self.ended.append(message)


@pytest.fixture
def echo() -> Echo:
    return Echo()


def connect(serving: Serving, path: str = "/") -> WebSocket:
    return WebSocket(serving, path)  # type: ignore[arg-type]


def test_messages_go_both_ways(serve: Serve, echo: Echo) -> None:
    serving = serve(echo)
    with connect(serving) as client:
        for size in (0, 1, 125, 126, 65535, 65536, 300_000):
            client.send(bytes(size))
            assert client.receive() == (BINARY, bytes(size))
        client.send("héllo")
        assert client.receive() == (TEXT, "héllo".encode())
        client.send(b"are you there", PING)
        assert client.receive() == (PONG, b"are you there")
    assert echo.scopes[0]["type"] == "websocket"
    serving.wait_for_no_client()
    wait_until(lambda: echo.ended, "the application to hear of it")
    assert echo.ended[0]["type"] == "websocket.disconnect"
    assert serving.log.errors() == []


@pytest.mark.parametrize("pieces", [1, 7])
def test_what_comes_in_any_pieces(serve: Serve, echo: Echo, pieces: int) -> None:
    """A frame may come with the handshake, and byte by byte."""
    serving = serve(echo)
    key = base64.b64encode(bytes(16)).decode()
    handshake = (
        "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
    ).encode()
    frame = bytes([0x81, 0x82, 0, 0, 0, 0]) + b"hi"
    with serving.connect() as client:
        for start in range(0, len(handshake), step := -(-len(handshake) // pieces)):
            client.sendall(handshake[start : start + step])
            time.sleep(0.01)
        received = b""
        while b"\r\n\r\n" not in received:
            received += client.recv(1000)
        for byte in frame:
            client.sendall(bytes([byte]))
        received = received.partition(b"\r\n\r\n")[2]
        while len(received) < 4:
            received += client.recv(1000)
        assert received == b"\x81\x02hi"


@pytest.mark.parametrize("first", [b"", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"])
def test_it_may_follow_requests_on_its_connection(serve: Serve, echo: Echo, first: bytes) -> None:
    """And what looks like a request on it is none, whatever is granted beside it."""
    serving = serve(echo)

    class After:
        port = serving.port

        @staticmethod
        def connect() -> socket.socket:
            client = serving.connect()
            if first:
                assert answer(client, first)[1] == b"ok"
            return client

    with WebSocket(After, "/") as client:  # type: ignore[arg-type]
        text = ranged("bytes=0-9").decode()
        client.send(text)
        assert client.receive() == (TEXT, text.encode())


def test_the_application_may_refuse_and_may_end_it(serve: Serve, echo: Echo) -> None:
    serving = serve(echo)
    with pytest.raises(Refused, match="403"):
        connect(serving, "/refused")
    with connect(serving) as client:
        client.send("bye")
        assert client.receive() == (CLOSE, b"\x03\xe8")
    serving.wait_for_no_client()
    assert serving.worker.nr_conns == 0


@pytest.mark.parametrize("reset", [False, True])
def test_a_client_that_leaves_without_a_word(serve: Serve, echo: Echo, reset: bool) -> None:
    serving = serve(echo)
    client = connect(serving)
    client.send("x")
    client.receive()
    if reset:
        client.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.connection.close()
    serving.wait_for_no_client()
    wait_until(lambda: echo.ended, "the application to hear of it")
    assert serving.log.errors() == []


def test_a_silent_one_is_neither_mute_nor_stalled(serve: Serve, echo: Echo) -> None:
    serving = serve(echo)
    with connect(serving) as client:
        connection = serving.connection()
        for now in range(0, 1000, 10):
            assert not serving.on_loop(lambda now=now: connection.close_if_mute(float(now)))
            assert not serving.on_loop(lambda now=now: connection.abort_if_stalled(float(now)))
        client.send("still there")
        assert client.receive() == (TEXT, b"still there")
    assert HEAD_PATIENCE < 1000


def test_one_that_takes_no_byte_is_aborted_and_one_that_takes_some_is_not(serve: Serve, echo: Echo) -> None:
    serving = serve(echo)
    with WebSocket(Small(serving), "/") as client:  # type: ignore[arg-type]
        client.send("many 20000")
        connection = serving.connection()
        until_full(connection)
        for now in (0.0, PATIENCE - 1):
            assert not serving.on_loop(lambda now=now: connection.abort_if_stalled(now))
        taken = 0
        while taken < 3_000_000:
            taken += len(client.receive()[1])
        until_full(connection)
        assert not serving.on_loop(lambda: connection.abort_if_stalled(PATIENCE))
        assert not serving.on_loop(lambda: connection.abort_if_stalled(2 * PATIENCE - 1))
        assert serving.on_loop(lambda: connection.abort_if_stalled(2 * PATIENCE))
    serving.wait_for_no_client()


class Small:
    """Where a client with a small buffer connects."""

    def __init__(self, serving: Serving) -> None:
        self.serving = serving

    def connect(self) -> socket.socket:
        return self.serving.connect(4096)


def until_full(connection: Any) -> None:
    before = -1
    while before <= 0 or before != connection._unsent():
        before = connection._unsent()
        time.sleep(0.1)


def test_one_whose_queue_stays_as_long_as_it_was_is_not_stalled(serve: Serve, echo: Echo) -> None:
    """Frames of one size to a client far away: each time it is looked at, as many bytes are on their way."""
    serving = serve(echo)
    with connect(serving) as client:
        connection = serving.connection()
        unsent = connection._unsent
        connection._unsent = lambda: unsent() + 1000
        for now in range(0, 200, 10):
            client.send(b"x" * 500)
            client.receive()
            assert not serving.on_loop(lambda now=now: connection.abort_if_stalled(float(now)))


def test_http2_by_upgrade(served: Serve) -> None:
    """Over the real handler: the bytes are read and sent in frames, as over TLS, and nothing is granted."""
    h2 = pytest.importorskip("h2.connection")
    serving = served(http_protocols="h1,h2", http2_cleartext="both")
    with serving.connect() as client:
        client.sendall(
            b"GET /file HTTP/1.1\r\nHost: localhost\r\nRange: bytes=0-9\r\nConnection: Upgrade, HTTP2-Settings\r\n"
            b"Upgrade: h2c\r\nHTTP2-Settings: \r\n\r\n"
        )
        received = client.recv(65536)
        assert received.startswith(b"HTTP/1.1 101 ")
    serving.wait_for_no_client()
    for _ in range(2):
        with serving.connect() as client:
            assert body_by_http2(h2, client, "/file") == surface.state.path.read_bytes()[5:15]
    assert surface.state.asked >= 2


def body_by_http2(h2: Any, client: socket.socket, path: str) -> bytes:
    connection = h2.H2Connection()
    connection.initiate_connection()
    headers = [(":method", "GET"), (":path", path), (":scheme", "http"), (":authority", "localhost")]
    connection.send_headers(1, [*headers, ("range", "bytes=5-14")], end_stream=True)
    client.sendall(connection.data_to_send())
    body = b""
    while True:
        for event in connection.receive_data(client.recv(65536)):
            name = type(event).__name__
            if name == "DataReceived":
                body += event.data
            elif name == "StreamEnded":
                return body
            assert name not in ("StreamReset", "ConnectionTerminated"), event
        client.sendall(connection.data_to_send())


def test_a_request_to_upgrade_to_something_else_is_answered(serve: Serve, echo: Echo) -> None:
    serving = serve(echo)
    with serving.connect() as client:
        head = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: %b\r\nUpgrade: %b\r\n\r\n"
        assert answer(client, head % (b"Upgrade", b"TLS/1.0"))[1] == b"ok"
        client.sendall(head % (b"Upgrade", b"websocket"))
        assert read_to_end(client).split()[1] == b"426"

"""A connection's progress, over a real socket pair, with the clock given."""

import asyncio
import logging
import socket
import sys
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
import pytest_asyncio
from gunicorn.config import Config

from mediastream.server.connection import ENDING, Connection
from mediastream.server.worker import MediaWorker

ENDLESS = b"/endless"


class Log:
    access_log_enabled = False
    error_log = logging.getLogger("tests.gunicorn")

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **kwargs: None


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Answers /endless for as long as the client takes it, anything else with two bytes."""
    scope["extensions"]["mediastream.connection"].patience = 60.0
    await send({"type": "http.response.start", "status": 200, "headers": []})
    while scope["path"].encode() == ENDLESS:
        await send({"type": "http.response.body", "body": bytes(65536), "more_body": True})
        await asyncio.sleep(0)
    await send({"type": "http.response.body", "body": b"ok"})


@pytest_asyncio.fixture
async def served() -> AsyncIterator[tuple[Any, int]]:
    worker = SimpleNamespace(
        cfg=Config(), log=Log(), asgi=application, loop=asyncio.get_running_loop(), nr_conns=0, connections=set(),
        alive=True, most_connections=3, nr=0, max_requests=sys.maxsize, state={},
    )  # fmt: skip
    server = await worker.loop.create_server(lambda: Connection(worker), "127.0.0.1", 0)
    yield worker, server.sockets[0].getsockname()[1]
    server.close()
    for connection in list(worker.connections):
        connection.transport.abort()
    await asyncio.sleep(0.05)


async def ask(port: int, path: bytes) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port))
    client.setblocking(False)
    await asyncio.get_running_loop().sock_sendall(client, b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path)
    return client


def read_all(client: socket.socket) -> None:
    while client.recv(65536):
        pass


async def until_stalled(connection: Connection) -> None:
    """Wait until every buffer is full: the number of unsent bytes has stopped moving."""
    seen = -1
    async with asyncio.timeout(20):
        while connection._unsent() != seen or seen <= 0:
            seen = connection._unsent()
            await asyncio.sleep(0.3)


async def test_a_client_that_takes_no_byte_is_aborted_after_its_patience(served: tuple[Any, int]) -> None:
    worker, port = served
    client = await ask(port, ENDLESS)
    await asyncio.sleep(0.1)
    (connection,) = worker.connections
    await until_stalled(connection)
    assert not connection.abort_if_stalled(1000.0)  # the first look only notes where it stands
    assert not connection.abort_if_stalled(1059.0)
    assert connection.abort_if_stalled(1060.0)
    await asyncio.sleep(0.05)
    assert not worker.connections
    with pytest.raises(ConnectionResetError):  # not the megabytes that the kernel still held for it
        read_all(client)
    client.close()


async def test_a_slow_client_is_left_alone(served: tuple[Any, int]) -> None:
    """However little it takes: a byte within the patience is a sign of life."""
    worker, port = served
    client = await ask(port, ENDLESS)
    await asyncio.sleep(0.1)
    (connection,) = worker.connections
    now = 1000.0
    for _ in range(5):
        await until_stalled(connection)
        connection.abort_if_stalled(now)
        now += 59
        taken = 0
        while taken < 3_000_000:  # enough for the window to open
            taken += len(await asyncio.get_running_loop().sock_recv(client, 65536))
        await asyncio.sleep(0.1)
        assert not connection.abort_if_stalled(now)
        now += 59
    assert worker.connections
    client.close()


async def test_an_idle_connection_is_no_stalled_one_and_closes_when_the_server_stops(served: tuple[Any, int]) -> None:
    worker, port = served
    client = await ask(port, b"/")
    await asyncio.sleep(0.1)
    (connection,) = worker.connections
    assert not connection.abort_if_stalled(1000.0)
    assert not connection.abort_if_stalled(100_000.0)
    connection.wind_up(0.0, 1.0)
    await asyncio.sleep(0.1)
    assert not worker.connections
    client.close()


async def test_a_new_connection_is_waited_for_a_moment_when_the_server_stops(served: tuple[Any, int]) -> None:
    worker, port = served
    silent, asking = (socket.create_connection(("127.0.0.1", port)) for _ in range(2))
    await asyncio.sleep(0.1)
    connections = list(worker.connections)
    assert len(connections) == 2
    worker.alive = False
    for connection in connections:
        connection.wind_up(0.0, 1.0)
    asking.setblocking(False)
    await asyncio.get_running_loop().sock_sendall(asking, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    answer = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(asking, 4096), 5)
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"connection: close" in answer.lower()
    for connection in connections:
        connection.wind_up(ENDING, 1.0)
    await asyncio.sleep(0.1)
    assert not worker.connections
    silent.close()
    asking.close()


@pytest.mark.parametrize("graced", [True, False])
async def test_only_a_download_gets_the_grace_when_the_server_stops(served: tuple[Any, int], graced: bool) -> None:
    worker, port = served
    client = await ask(port, ENDLESS)
    await asyncio.sleep(0.1)
    (connection,) = worker.connections
    connection.graced = graced
    connection.wind_up(ENDING - 0.1, 30.0)
    await asyncio.sleep(0.05)
    assert worker.connections
    connection.wind_up(ENDING, 30.0)
    await asyncio.sleep(0.05)
    assert bool(worker.connections) == graced
    connection.wind_up(30.0, 30.0)
    await asyncio.sleep(0.05)
    assert not worker.connections
    client.close()


async def test_cut_breaks_the_stream_off(served: tuple[Any, int]) -> None:
    worker, port = served
    client = await ask(port, ENDLESS)
    await asyncio.sleep(0.1)
    (connection,) = worker.connections
    async with asyncio.timeout(5):
        await connection.cut()
    assert not worker.connections
    client.close()


async def test_a_client_that_never_finishes_its_request_is_closed(served: tuple[Any, int]) -> None:
    worker, port = served
    silent = socket.create_connection(("127.0.0.1", port))
    partial = socket.create_connection(("127.0.0.1", port))
    partial.sendall(b"GET / HTTP/1.1\r\nHost:")
    await asyncio.sleep(0.1)
    assert len(worker.connections) == 2
    for now in (1000.0, 1029.0):
        assert not any(connection.close_if_mute(now) for connection in worker.connections)
    assert all(connection.close_if_mute(1030.0) for connection in list(worker.connections))
    await asyncio.sleep(0.1)
    assert not worker.connections
    silent.close()
    partial.close()


async def test_a_connection_that_is_asked_again_and_again_is_not_mute(served: tuple[Any, int]) -> None:
    """However short the answers are: each look, once a second, may find it between two of them."""
    worker, port = served
    client = await ask(port, b"/")
    for now in range(1000, 1100, 10):
        await asyncio.get_running_loop().sock_recv(client, 4096)
        await asyncio.sleep(0.02)
        (connection,) = worker.connections
        assert connection.awaiting
        assert not connection.close_if_mute(float(now))
        await again(client)
    client.close()


async def again(client: socket.socket) -> None:
    await asyncio.get_running_loop().sock_sendall(client, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")


@pytest.mark.parametrize("seconds", [5, 75])
async def test_an_idle_connection_is_kept_as_long_as_gunicorn_is_told(served: tuple[Any, int], seconds: int) -> None:
    worker, port = served
    worker.cfg.set("keepalive", seconds)
    client = await ask(port, b"/")
    await asyncio.sleep(0.1)
    (connection,) = worker.connections
    for now in (0, seconds - 1):
        assert not connection.close_if_mute(1000.0 + now)
    assert connection.close_if_mute(1000.0 + seconds)
    client.close()


async def test_the_head_of_a_further_request_has_its_own_time(served: tuple[Any, int]) -> None:
    worker, port = served
    worker.cfg.set("keepalive", 75)
    client = await ask(port, b"/")
    await asyncio.sleep(0.1)
    (connection,) = worker.connections
    for now in (1000.0, 1070.0):
        assert not connection.close_if_mute(now)
    await asyncio.get_running_loop().sock_sendall(client, b"GET / HT")
    await asyncio.sleep(0.1)
    for now in (1071.0, 1080.0, 1100.0):
        assert not connection.close_if_mute(now)
    assert connection.close_if_mute(1101.0)
    client.close()


async def test_past_the_bound_a_client_is_told_to_come_again(served: tuple[Any, int]) -> None:
    worker, port = served
    clients = [await ask(port, b"/") for _ in range(worker.most_connections)]
    await asyncio.sleep(0.1)
    refused = await ask(port, b"/")
    answer = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(refused, 4096), 5)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503")
    assert b"Content-Length: %d" % len(body) in head
    assert len(worker.connections) == worker.most_connections
    for client in [*clients, refused]:
        client.close()


@pytest.mark.parametrize(("patience", "looks"), [(3.0, 60), (60.0, 15), (3600.0, 15)])
def test_a_client_is_looked_at_often_enough_and_no_more(patience: float, looks: int) -> None:
    """In a minute; each look asks the kernel, and there may be thousands of clients."""
    looked: list[float] = []
    connection = SimpleNamespace(
        look_at=0.0, patience=patience, close_if_mute=lambda _: False, abort_if_stalled=lambda now: looked.append(now)
    )
    for second in range(60):
        loop = SimpleNamespace(time=lambda now=second: 1000.0 + now)
        worker = SimpleNamespace(grants=SimpleNamespace(sweep=lambda: None), loop=loop, connections=[connection])
        MediaWorker._watch(worker)  # type: ignore[arg-type]
    assert len(looked) == looks

"""Clients past what the worker can take, over real sockets, with descriptors that really run out."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from mediastream.environment import ROOT
from mediastream.server import listening
from mediastream.server.listening import SPARE, Listening, Refusal
from tests.exhaustion import descriptors_left as with_descriptors_left
from tests.exhaustion import open_descriptors
from tests.server.serving import on_uvloop


class Served(asyncio.Protocol):
    """In a Connection's place."""

    def __init__(self, worker: Any) -> None:
        self.worker = worker

    def connection_made(self, transport: Any) -> None:
        self.worker.connections.add(self)
        transport.write(b"served")
        transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.worker.connections.discard(self)


@asynccontextmanager
async def listening_socket(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Listening]:
    monkeypatch.setattr(listening, "Connection", Served)
    worker = SimpleNamespace(
        loop=asyncio.get_running_loop(), cfg=SimpleNamespace(backlog=100), _get_ssl_context=lambda: None,
        sockets=[SimpleNamespace(sock=socket.create_server(("127.0.0.1", 0)))], connections=set(), most_connections=10,
    )  # fmt: skip
    made = Listening(worker)  # type: ignore[arg-type]
    await made.start()
    try:
        yield made
    finally:
        made.close()
        await asyncio.sleep(0.05)


def client_of(listens: Listening) -> socket.socket:
    client = socket.create_connection(listens._sockets[0].getsockname(), timeout=5)
    client.setblocking(False)
    return client


async def answer(client: socket.socket, seconds: float = 5.0) -> bytes:
    loop = asyncio.get_running_loop()
    received = b""
    with client:
        async with asyncio.timeout(seconds):
            while chunk := await loop.sock_recv(client, 4096):
                received += chunk
    return received


# Numbers need not be in a row.
COUNTED = """
import os, sys
from types import SimpleNamespace
from mediastream.server.listening import descriptors_left
from tests.exhaustion import descriptors_left as with_descriptors_left
os.dup2(0, 200)
if sys.argv[1] == "listed":
    os.stat = lambda _: SimpleNamespace(st_size=0)
for count in (7, 0):
    with with_descriptors_left(count):
        print(descriptors_left())
"""


@pytest.mark.parametrize("how", ["size", "listed"])
def test_the_number_of_descriptors_left(how: str) -> None:
    """By the folder's size, or, as before Linux 6.2, by its entries. In a process without threads: where one waits in
    accept(2), as that of pytest-rerunfailures does without xdist, its next descriptor is taken and no entry yet."""
    if how == "size" and os.stat("/proc/self/fd").st_size == 0:
        pytest.skip("this kernel does not tell")
    ended = subprocess.run([sys.executable, "-c", COUNTED, how], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (ended.stdout.split(), ended.stderr) == (["7", "0"], "")


@on_uvloop
async def test_the_last_descriptors_are_not_for_new_clients(monkeypatch: Any, caplog: Any) -> None:
    async with listening_socket(monkeypatch) as listens:
        clients = [client_of(listens) for _ in range(5)]
        with with_descriptors_left(SPARE):  # of which each client takes one, for as long as it is told to go
            answers = [await answer(client) for client in clients]
        assert all(said.startswith(b"HTTP/1.1 503") and b"Retry-After: 5" in said for said in answers)
        assert len([line for line in caplog.messages if "refused a client" in line]) == 1
        assert await answer(client_of(listens)) == b"served"


@on_uvloop
async def test_past_the_bound_a_client_is_told_to_come_again(monkeypatch: Any) -> None:
    async with listening_socket(monkeypatch) as listens:
        listens._worker.most_connections = 0
        assert (await answer(client_of(listens))).startswith(b"HTTP/1.1 503")


@on_uvloop
async def test_without_descriptors_clients_wait_and_are_served_later(monkeypatch: Any) -> None:
    async with listening_socket(monkeypatch) as listens:
        waiting = [client_of(listens) for _ in range(3)]  # the loop has not turned since
        before = open_descriptors()
        with with_descriptors_left(0):
            await listens.look()
            assert not listens.accepting
            await asyncio.sleep(0.2)
            await listens.look()
            assert not listens.accepting
        await listens.look()
        assert listens.accepting
        assert [await answer(client) for client in waiting] == [b"served"] * 3
        await asyncio.sleep(0.05)
        assert open_descriptors() == before - 3


@on_uvloop
async def test_closed_for_good_it_does_not_start_again(monkeypatch: Any) -> None:
    async with listening_socket(monkeypatch) as listens:
        address = listens._sockets[0].getsockname()
        listens.close()
        await listens.look()
        await asyncio.sleep(0.05)
        assert not listens.accepting
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address, timeout=5)


@pytest.mark.parametrize("linger", [0.0, 0.2])
@on_uvloop
async def test_a_refused_client_that_stays_is_let_go(linger: float) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Refusal(linger), "127.0.0.1", 0)
    before = open_descriptors()
    client = socket.create_connection(server.sockets[0].getsockname())
    client.setblocking(False)
    assert (await loop.sock_recv(client, 4096)).startswith(b"HTTP/1.1 503")
    await asyncio.sleep(0.4)
    assert open_descriptors() == before + 1  # the client's own
    client.close()
    server.close()

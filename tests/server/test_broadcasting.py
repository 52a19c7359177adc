"""Bytes offered to a connection of the real kernel: what it takes, and how much it holds for who does not read."""

import asyncio
import fcntl
import socket
import struct
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from types import SimpleNamespace
from typing import Any

import pytest

from mediastream.broadcast import Shared
from mediastream.crowd import ALIKE, Crowd
from mediastream.server import unsent
from mediastream.server.broadcasting import ConnectionSink, SocketSink
from mediastream.streams import Label, Stream
from tests.server.serving import on_uvloop

PONG, CLOSE = b"\x8a\x00", b"\x88\x00"  # whole frames (RFC 6455 section 5.2)
SIOCOUTQNSD = 0x894B  # linux/sockios.h: bytes that the kernel has not sent yet


class Connection(asyncio.Protocol):
    """What a sink asks of its connection."""

    def __init__(self, *, plain: bool) -> None:
        self.can_send_files = plain
        self.counted = 0
        self.websocket = SimpleNamespace(closed=False)
        self.made = asyncio.Event()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.made.set()

    def count(self, size: int) -> None:
        self.counted += size


@asynccontextmanager
async def connected(*, plain: bool = True, receive: int | None = None) -> AsyncIterator[tuple[Any, Any, socket.socket]]:
    """A connection, its sink, and the client, who reads nothing by itself. `receive`: its buffer, in bytes."""
    connection = Connection(plain=plain)
    server = await asyncio.get_running_loop().create_server(lambda: connection, "127.0.0.1", 0)
    with socket.socket() as client:
        if receive is not None:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        client.setblocking(False)
        await asyncio.get_running_loop().sock_connect(client, server.sockets[0].getsockname())
        await connection.made.wait()
        try:
            with ConnectionSink(connection, Stream(Label("mjpeg", "x"), None, lambda: None), chunked=True) as sink:  # type: ignore[arg-type]
                yield connection, sink, client
        finally:  # without it a test that fails hangs, as uvloop waits for its connection
            connection.transport.abort()
            server.close()
            await server.wait_closed()


def held(connection: Any) -> int:
    """Bytes that lie in our socket and transport, unsent."""
    pseudo = connection.transport.get_extra_info("socket")
    in_kernel = struct.unpack("i", fcntl.ioctl(pseudo.fileno(), SIOCOUTQNSD, b"\0" * 4))[0]
    return int(in_kernel) + int(connection.transport.get_write_buffer_size())


async def received(client: socket.socket, size: int) -> bytes:
    found = b""
    async with asyncio.timeout(10):
        while len(found) < size:
            found += await asyncio.get_running_loop().sock_recv(client, 1 << 20)
    return found


@on_uvloop
@pytest.mark.parametrize("plain", [True, False])
@pytest.mark.parametrize("size", [1, 200, ALIKE, 30_000, 120_000])
async def test_a_client_that_reads_gets_all_in_order(plain: bool, size: int) -> None:
    async with connected(plain=plain) as (connection, sink, client):
        wanted = b""
        for number in range(12):
            data = Shared(bytes([number]) * size)
            async with asyncio.timeout(10):
                while not sink.offer(data):
                    wanted = wanted[len(await received(client, 1)) :]
            wanted += data.chunk
            assert len(wanted) < 12 * (size + 16)
        while wanted:
            part = await received(client, 1)
            assert wanted.startswith(part)
            wanted = wanted[len(part) :]
        await asyncio.sleep(0)
        assert held(connection) == 0


@on_uvloop
@pytest.mark.parametrize("plain", [True, False])
@pytest.mark.parametrize("size", [200, 30_000, 120_000])
async def test_at_most_two_offers_are_held_for_a_client_that_does_not_read(plain: bool, size: int) -> None:
    async with connected(plain=plain, receive=4096) as (connection, sink, _):
        data = Shared(b"x" * size)
        taken, most = 0, 0
        for _ in range(40_000 if size == 200 else 400):
            taken += sink.offer(data)
            await asyncio.sleep(0)
            most = max(most, held(connection))
        assert not sink.offer(data)
        # The kernel takes one more while it holds less than its bound. All goes by the transport where there is TLS,
        # which may then have another.
        of_small = ALIKE + len(data.chunk) * (1 if plain else 2) if size < ALIKE else 0
        assert most <= max(2 * len(data.chunk), of_small)
        assert taken < 400 or size == 200


@on_uvloop
async def test_one_that_is_passed_over_gets_the_next_when_it_reads_again() -> None:
    async with connected(receive=4096) as (_, sink, client):
        data = Shared(b"x" * 30_000)
        while sink.offer(data):
            await asyncio.sleep(0)
        async with asyncio.timeout(10):
            while not sink.offer(data):
                await received(client, 1)


@on_uvloop
async def test_what_has_gone_is_counted() -> None:
    async with connected() as (connection, sink, client):
        data = Shared(b"x" * 1000)
        for _ in range(10):
            assert sink.offer(data)
            await received(client, len(data.chunk))
        assert 0 < sink._stream.bytes <= 10 * len(data.chunk)  # and the rest once a second
    assert sink._stream.bytes == connection.counted == 10 * len(data.chunk)


@on_uvloop
async def test_nothing_is_offered_once_the_client_has_left() -> None:
    async with connected() as (connection, sink, _):
        connection.transport.abort()
        assert not sink.offer(Shared(b"x"))
    assert sink._stream.bytes == 0


@on_uvloop
async def test_the_kernel_is_told_of_another_size_only_if_it_is_another(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[int] = []
    monkeypatch.setattr(unsent, "allow", lambda _, most: told.append(most))
    async with connected() as (_, sink, client):
        for size in (100, 400, 2000, 100, 9000, 30_000, 100):
            assert sink.offer(Shared(b"x" * size))
            await received(client, size)
    assert told == [4096, 16384, 4096, unsent.USUAL]


def test_the_connection_is_afterwards_as_it_was() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        transport = SimpleNamespace(
            get_extra_info=lambda _: client, is_closing=lambda: False, get_write_buffer_size=lambda: 0
        )
        connection: Any = SimpleNamespace(transport=transport, can_send_files=True, count=lambda _: None)
        with ConnectionSink(connection, Stream(Label("mjpeg", "x"), None, lambda: None), chunked=True) as sink:
            assert sink.offer(Shared(b"x" * 40_000))
            during = client.getsockopt(socket.IPPROTO_TCP, unsent.TCP_NOTSENT_LOWAT)
        assert 20_000 < during <= 40_016
        assert client.getsockopt(socket.IPPROTO_TCP, unsent.TCP_NOTSENT_LOWAT) == unsent.USUAL


@on_uvloop
async def test_no_frame_comes_after_the_one_that_closed_a_websocket() -> None:
    async with connected() as (connection, _, client):
        websocket = connection.websocket = SimpleNamespace(closed=False, transport=connection.transport)
        with SocketSink(connection, Stream(Label("feed socket", "x"), None, lambda: None)) as sink:
            sink.push(b"opening")
            assert await received(client, 7) == b"opening"
            websocket.transport.write(PONG)
            assert sink.offer(Shared(b"event"))
            assert await received(client, 7) == PONG + b"event"
            websocket.transport.write(CLOSE)
            sink.push(b"farewell")
            assert not sink.offer(Shared(b"event"))
        assert websocket.transport is connection.transport
        connection.transport.write(b"end")
        assert await received(client, 5) == CLOSE + b"end"


@on_uvloop
async def test_one_that_is_closed_already_gets_nothing() -> None:
    async with connected() as (connection, _, client):
        connection.websocket = SimpleNamespace(closed=True, transport=connection.transport)
        with SocketSink(connection, Stream(Label("feed socket", "x"), None, lambda: None)) as sink:
            sink.push(b"opening")
            assert not sink.offer(Shared(b"event"))
        connection.transport.write(b"end")
        assert await received(client, 3) == b"end"


@on_uvloop
async def test_what_a_websocket_says_by_itself_is_not_cut_in_two_by_a_crowd() -> None:
    """A pong of which the kernel took a part has its rest in the transport."""
    async with connected(receive=4096) as (connection, _, client):
        websocket = connection.websocket = SimpleNamespace(closed=False, transport=connection.transport)
        passed: list[int] = []
        crowd = Crowd(chunked=False)
        with SocketSink(connection, Stream(Label("feed socket", "x"), None, lambda: None)) as sink:
            crowd.join(sink, lambda: passed.append(1))
            crowd.offer(Shared(b"first"))
            crowd.offer(Shared(b"second"))
            said = PONG + b"x" * 4_000_000  # no pong, but as one that the kernel takes in parts
            websocket.transport.write(said)
            taken = b""
            for _ in range(50):  # without a turn of the loop: the kernel has room, and the rest waits
                time.sleep(0.002)
                with suppress(BlockingIOError):
                    taken += client.recv(1 << 20)
            crowd.offer(Shared(b"never"))
            assert passed == [1]
            wanted = b"firstsecond" + said
            assert taken + await received(client, len(wanted) - len(taken)) == wanted
            await asyncio.sleep(0)
            for words in (b"third", b"fourth"):
                crowd.offer(Shared(words))
            assert await received(client, 11) == b"thirdfourth"
            crowd.leave(sink)
        assert passed == [1]
        assert sink._stream.bytes == connection.counted == len(b"firstsecondthirdfourth")

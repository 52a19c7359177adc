"""http.response.zerocopysend over real sockets, on both event loops."""

import asyncio
import logging
import os
import random
import socket
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import uvloop
from gunicorn.config import Config

from mediastream.errors import StreamCut
from mediastream.server import zerocopy
from mediastream.server.connection import ZERO_COPY, Connection

SIZE = 5_000_000


class Log:
    access_log_enabled = False
    error_log = logging.getLogger("tests.gunicorn")

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **kwargs: None


@pytest.fixture(scope="module")
def content() -> bytes:
    return random.Random(7).randbytes(SIZE)


@pytest.fixture
def path(tmp_path: Path, content: bytes) -> Path:
    file = tmp_path / "content"
    file.write_bytes(content)
    return file


class Serving:
    """A loop of its own in a thread, serving one application by our Connection."""

    def __init__(self, loop: asyncio.AbstractEventLoop, application: Callable[..., Coroutine[Any, Any, None]]) -> None:
        self.loop = loop
        self.faults: list[BaseException] = []
        self.application = application
        self.worker = SimpleNamespace(
            cfg=Config(), log=Log(), asgi=self._call, loop=loop, nr_conns=0, connections=set(), alive=True, nr=0,
            max_requests=sys.maxsize, state={}, most_connections=100,
        )  # fmt: skip
        self.thread = threading.Thread(target=loop.run_forever)
        self.thread.start()
        self.server = self.run(loop.create_server(lambda: Connection(self.worker), "127.0.0.1", 0))
        self.port = self.server.sockets[0].getsockname()[1]

    async def _call(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await self.application(scope, receive, send)
        except StreamCut as fault:
            self.faults.append(fault)
            await scope["extensions"]["mediastream.connection"].cut()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(10)

    async def _close(self) -> None:
        self.server.close()
        for connection in list(self.worker.connections):
            connection.transport.abort()
        while self.worker.connections:
            await asyncio.sleep(0.01)

    def close(self) -> None:
        self.run(self._close())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    def ask(self, *requests: str) -> socket.socket:
        client = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        client.sendall("".join(f"{line}\r\nHost: x\r\n\r\n" for line in requests).encode())
        return client


@pytest.fixture(params=["asyncio", "uvloop"])
def serve(request: pytest.FixtureRequest) -> Iterator[Callable[..., Serving]]:
    started: list[Serving] = []

    def start(application: Callable[..., Coroutine[Any, Any, None]]) -> Serving:
        loop = uvloop.new_event_loop() if request.param == "uvloop" else asyncio.new_event_loop()
        started.append(Serving(loop, application))
        return started[-1]

    yield start
    for serving in started:
        serving.close()


def sends(path: Path, *, length: bool = True) -> Callable[..., Coroutine[Any, Any, None]]:
    """Serves /START-STOP of the file; without `length` the framing is chunked."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        start, stop = (int(number) for number in scope["path"].strip("/").split("-"))
        headers = [(b"content-length", b"%d" % (stop - start))] if length else []
        fd = os.open(path, os.O_RDONLY)
        try:
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": ZERO_COPY, "file": fd, "offset": start, "count": stop - start, "more_body": True})
            await send({"type": "http.response.body"})
        finally:
            os.close(fd)

    return application


def read_response(client: socket.socket, rest: bytes = b"") -> tuple[bytes, bytes, bytes]:
    """Head, body of Content-Length bytes, and what came after it."""
    while b"\r\n\r\n" not in rest:
        rest += client.recv(65536)
    head, _, rest = rest.partition(b"\r\n\r\n")
    lines = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    size = int(lines[b"content-length"])
    while len(rest) < size:
        chunk = client.recv(1 << 20)
        assert chunk
        rest += chunk
    return head, rest[:size], rest[size:]


def read_to_end(client: socket.socket) -> bytes:
    received = b""
    while chunk := client.recv(1 << 20):
        received += chunk
    return received


def test_random_ranges_are_exact_and_keep_the_connection(
    serve: Callable[..., Serving], path: Path, content: bytes
) -> None:
    serving = serve(sends(path))
    chance = random.Random(3)
    spans = [sorted(chance.sample(range(SIZE + 1), 2)) for _ in range(150)]
    with serving.ask(*[f"GET /{start}-{stop} HTTP/1.1" for start, stop in spans]) as client:
        rest = b""
        for start, stop in spans:
            _, body, rest = read_response(client, rest)
            assert body == content[start:stop]


def test_without_a_length_the_framing_is_chunked(serve: Callable[..., Serving], path: Path, content: bytes) -> None:
    serving = serve(sends(path, length=False))
    with serving.ask("GET /10-2000010 HTTP/1.1\r\nConnection: close") as client:
        head, _, body = read_to_end(client).partition(b"\r\n\r\n")
    assert b"transfer-encoding: chunked" in head.lower()
    assert body == b"%x\r\n" % 2_000_000 + content[10:2_000_010] + b"\r\n0\r\n\r\n"


def test_http_1_0_gets_the_bytes_and_the_end(serve: Callable[..., Serving], path: Path, content: bytes) -> None:
    serving = serve(sends(path, length=False))
    with serving.ask("GET /0-3000000 HTTP/1.0") as client:
        _, _, body = read_to_end(client).partition(b"\r\n\r\n")
    assert body == content[:3_000_000]


def test_a_paused_client_gets_the_rest_when_it_reads_again(
    serve: Callable[..., Serving], path: Path, content: bytes
) -> None:
    os.truncate(path, 64 * 1024 * 1024)
    serving = serve(sends(path))
    with serving.ask(f"GET /0-{64 * 1024 * 1024} HTTP/1.1") as client:
        first = client.recv(1000)
        threading.Event().wait(0.5)  # long enough for every buffer to fill
        _, body, _ = read_response(client, first)
    assert body[:SIZE] == content
    assert not any(body[SIZE:])


def test_a_file_that_has_shrunk_cuts_the_connection(serve: Callable[..., Serving], path: Path) -> None:
    serving = serve(sends(path))
    with serving.ask(f"GET /0-{SIZE + 1000} HTTP/1.1") as client:
        received = read_to_end(client)
    assert len(received.partition(b"\r\n\r\n")[2]) == SIZE
    assert "ends at byte" in str(serving.faults[0])


@pytest.mark.parametrize("abort", [False, True])
def test_a_client_that_leaves_in_the_middle_leaves_no_descriptor(
    serve: Callable[..., Serving], path: Path, abort: bool
) -> None:
    os.truncate(path, 64 * 1024 * 1024)
    serving = serve(sends(path))

    def leave() -> None:
        client = serving.ask(f"GET /0-{64 * 1024 * 1024} HTTP/1.1")
        client.recv(1000)
        if abort:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()

    def settled() -> int:
        for _ in range(500):
            if not serving.worker.connections:
                break
            threading.Event().wait(0.01)
        assert not serving.worker.connections
        return len(os.listdir("/proc/self/fd"))

    leave()
    baseline = settled()
    for _ in range(30):
        leave()
    assert settled() <= baseline


def test_a_file_not_in_memory_is_read_ahead_in_a_thread(
    serve: Callable[..., Serving], path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the page cache holds here: what `resident` denies goes through the threads, and is the same."""
    asked: list[int] = []
    original = zerocopy.read_ahead

    def read_ahead(fd: int, offset: int, count: int) -> None:
        asked.append(offset)
        original(fd, offset, count)

    monkeypatch.setattr(zerocopy, "resident", lambda fd, offset, count: False)
    monkeypatch.setattr(zerocopy, "read_ahead", read_ahead)
    serving = serve(sends(path))
    with serving.ask("GET /5-1000005 HTTP/1.1") as client:
        _, body, _ = read_response(client)
    assert body == content[5:1_000_005]
    assert asked


def test_resident_says_no_of_a_file_just_dropped_from_memory(path: Path) -> None:
    fd = os.open(path, os.O_RDWR)
    try:
        os.fsync(fd)
        os.pread(fd, 4096, 0)
        assert zerocopy.resident(fd, 0, 4096)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        assert not zerocopy.resident(fd, SIZE // 2, 4096)
        zerocopy.read_ahead(fd, SIZE // 2, 65536)
        assert zerocopy.resident(fd, SIZE // 2, 65536)
    finally:
        os.close(fd)

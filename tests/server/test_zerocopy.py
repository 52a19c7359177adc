"""http.response.zerocopysend over real sockets, on both event loops."""

import asyncio
import errno
import os
import random
import socket
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from mediastream.server import sending, zerocopy
from mediastream.server.connection import ZERO_COPY
from tests.exhaustion import open_descriptors
from tests.server.serving import Serving, read_response, read_to_end

SIZE = 5_000_000


@pytest.fixture(scope="module")
def content() -> bytes:
    return random.Random(7).randbytes(SIZE)


@pytest.fixture
def path(tmp_path: Path, content: bytes) -> Path:
    file = tmp_path / "content"
    file.write_bytes(content)
    return file


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


@pytest.mark.parametrize("length", [True, False])
def test_without_a_descriptor_for_the_duplicate_the_file_is_read_and_sent(
    serve: Callable[..., Serving], path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch, length: bool
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(sending, "SocketSender", fail)
    serving = serve(sends(path, length=length))
    with serving.ask("GET /10-2000010 HTTP/1.1\r\nConnection: close") as client:
        body = read_to_end(client).partition(b"\r\n\r\n")[2]
    assert body == (content[10:2_000_010] if length else b"1e8480\r\n%s\r\n0\r\n\r\n" % content[10:2_000_010])


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
        return open_descriptors()

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


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.EIO, "cut"),
        (errno.ESTALE, "cut"),
        (errno.EINVAL, "cut"),
        (errno.EPIPE, "left"),
        (errno.ETIMEDOUT, "left"),
    ],
)
def test_what_sendfile_says_is_told_apart(
    serve: Callable[..., Serving], path: Path, monkeypatch: pytest.MonkeyPatch, number: int, reason: str
) -> None:
    """A file that cannot be read cuts the stream, which the log tells; a client that has left is none of its news."""

    def sendfile(*_: int) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "sendfile", sendfile)
    serving = serve(sends(path))
    with serving.ask("GET /0-1000 HTTP/1.1") as client:
        assert read_to_end(client).partition(b"\r\n\r\n")[2] == b""
    assert len(serving.faults) == (reason == "cut")


def test_who_is_told_may_fail_without_harm_to_what_it_started(path: Path) -> None:
    """The next may be started by whoever is told of the end of the last, and both go through the same lines."""

    async def main() -> list[Exception | None]:
        ours, theirs = socket.socketpair()
        told: list[Exception | None] = []
        fd = os.open(path, os.O_RDONLY)
        sender = zerocopy.SocketSender(ours)

        def ended(fault: Exception | None) -> None:
            told.append(fault)
            sender.start(b"", zerocopy.FileSlice(fd, 0, SIZE), told.append)
            raise OSError("of somebody else's")

        with pytest.raises(OSError, match="somebody else's"):
            sender.start(b"", zerocopy.FileSlice(fd, 0, 10), ended)
        assert told == [None]
        sender.close()
        os.close(fd)
        ours.close()
        theirs.close()
        return told

    first, second = asyncio.run(main())
    assert first is None
    assert isinstance(second, zerocopy.Disconnected)

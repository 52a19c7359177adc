"""A child's output by splice over real sockets, on both event loops: how it is framed, and all the ways it ends."""

import errno
import os
import random
import socket
import struct
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from mediastream import chunking, drain, streams
from mediastream.bodies import ProcessBody
from mediastream.delivery import deliver
from mediastream.process import Child
from mediastream.responses import StreamResponse
from mediastream.server import sending, splicing
from mediastream.streams import Label
from tests.exhaustion import open_descriptors
from tests.server.serving import Serving, read_to_end, wait_until

SIZE = 5_000_000
CONTENT = random.Random(5).randbytes(SIZE)
ALL = f"import random, sys; sys.stdout.buffer.write(random.Random(5).randbytes({SIZE}))"
ENDLESS = "import sys\nwhile True: sys.stdout.buffer.write(bytes(65536))"
SILENT = "import os, time; os.write(1, b'some'); time.sleep(60)"


class Children:
    """Serves what a child that runs `code` says. `given_back`: how many places of children are."""

    def __init__(self) -> None:
        self.started: list[Child] = []
        self.given_back = 0

    def giving(self, code: str, *, wide: bool = True) -> Callable[..., Coroutine[Any, Any, None]]:
        async def application(scope: Any, receive: Any, send: Any) -> None:
            child = Child.spawn([sys.executable, "-c", code], wide=wide)
            self.started.append(child)
            body = ProcessBody(child, await child.read(chunking.FIRST), self._give_back)
            try:
                await deliver(StreamResponse(body, "video/mp4", Label("test", "child")), scope, send)
            finally:
                await body.aclose()

        return application

    def _give_back(self) -> None:
        self.given_back += 1

    def wait_for_none(self) -> None:
        wait_until(lambda: self.given_back == len(self.started), "the children to be gone")
        assert not any(Path(f"/proc/{child.pid}").exists() for child in self.started)


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch, serve: object) -> Iterator[Children]:
    """None may be left when the loop ends."""
    monkeypatch.setattr(streams, "_totals", {})
    children = Children()
    yield children
    children.wait_for_none()


@pytest.fixture
def spliced(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The bytes that each call of splice(2) has moved."""
    moved: list[int] = []
    splice = os.splice

    def noted(*arguments: Any, **named: Any) -> int:
        moved.append(splice(*arguments, **named))
        return moved[-1]

    monkeypatch.setattr(os, "splice", noted)
    return moved


def chunks(body: bytes) -> tuple[list[bytes], bytes]:
    """Those of RFC 9112 section 7.1, and what comes after the last one."""
    found = []
    while body:
        size, _, body = body.partition(b"\r\n")
        count = int(size, 16)
        chunk, end, body = body[:count], body[count : count + 2], body[count + 2 :]
        assert end == b"\r\n"
        if not count:
            return found, body
        found.append(chunk)
    raise AssertionError("no last chunk")


def read_chunked(client: socket.socket) -> bytes:
    """A response of which nothing follows the last chunk, on a connection that is kept."""
    received = bytearray()
    while not received.endswith(b"\r\n0\r\n\r\n"):
        received += client.recv(1 << 20)
    found, after = chunks(bytes(received).partition(b"\r\n\r\n")[2])
    assert after == b""
    return b"".join(found)


@pytest.mark.parametrize("wide", [True, False])
def test_the_framing_is_exact_and_the_connection_is_kept(
    serve: Callable[..., Serving], children: Children, spliced: list[int], wide: bool
) -> None:
    serving = serve(children.giving(ALL, wide=wide))
    with serving.connect() as client:
        for _ in range(3):
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert read_chunked(client) == CONTENT
        assert 3 * (SIZE - chunking.FIRST) <= sum(spliced) < 3 * SIZE
        children.wait_for_none()
    assert streams.totals()["test"].bytes == 3 * SIZE


def test_what_fits_into_the_first_chunk_has_no_second(serve: Callable[..., Serving], children: Children) -> None:
    serving = serve(children.giving("import os; os.write(1, b'short')"))
    with serving.ask("GET / HTTP/1.1\r\nConnection: close") as client:
        assert read_to_end(client).partition(b"\r\n\r\n")[2] == b"5\r\nshort\r\n0\r\n\r\n"


def test_http_1_0_gets_the_bytes_and_the_end(
    serve: Callable[..., Serving], children: Children, spliced: list[int]
) -> None:
    serving = serve(children.giving(ALL))
    with serving.ask("GET / HTTP/1.0") as client:
        assert read_to_end(client).partition(b"\r\n\r\n")[2] == CONTENT
    assert spliced


def test_without_a_descriptor_for_the_duplicate_the_bytes_are_read_and_sent(
    serve: Callable[..., Serving], children: Children, spliced: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(sending, "SocketSender", fail)
    serving = serve(children.giving(ALL))
    with serving.ask("GET / HTTP/1.1") as client:
        assert read_chunked(client) == CONTENT
    assert not spliced


def test_small_pieces_in_quick_succession_leave_together(serve: Callable[..., Serving], children: Children) -> None:
    serving = serve(children.giving("import os\nfor _ in range(20_000): os.write(1, bytes(500))"))
    with serving.ask("GET / HTTP/1.1\r\nConnection: close") as client:
        found, _ = chunks(read_to_end(client).partition(b"\r\n\r\n")[2])
    assert sum(map(len, found)) == 10_000_000
    assert len(found) < 5_000


def test_what_comes_within_the_pause_leaves_together(
    serve: Callable[..., Serving], children: Children, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(splicing, "GATHER", 0.5)
    serving = serve(children.giving("import os, time\nfor _ in range(20): os.write(1, b'some'); time.sleep(0.01)"))
    with serving.ask("GET / HTTP/1.1\r\nConnection: close") as client:
        found, _ = chunks(read_to_end(client).partition(b"\r\n\r\n")[2])
    assert b"".join(found) == b"some" * 20
    assert len(found) < 10


def test_a_piece_that_none_follows_is_not_kept_back(
    serve: Callable[..., Serving], children: Children, tmp_path: Path
) -> None:
    """Each is written only when the one before has been received."""
    code = f"""
import os, time
for number in range(5):
    while not os.path.exists(f"{tmp_path}/{{number}}"): time.sleep(0.01)
    os.write(1, b"piece %d" % number)
"""
    serving = serve(children.giving(code))
    (tmp_path / "0").touch()
    with serving.ask("GET / HTTP/1.1") as client:
        received = b""
        for number in range(5):
            while b"\r\npiece %d\r\n" % number not in received:
                received += client.recv(1000)
            (tmp_path / str(number + 1)).touch()


def test_a_paused_client_stops_the_child_and_gets_the_rest_when_it_reads_again(
    serve: Callable[..., Serving], children: Children
) -> None:
    code = f"{ALL}\nfor _ in range(7): sys.stdout.buffer.write(random.Random(5).randbytes({SIZE}))"
    serving = serve(children.giving(code))
    with serving.ask("GET / HTTP/1.1") as client:
        first = client.recv(1000)
        connection = serving.connection()
        wait_until(lambda: stands_still(children.started[0]), "the child to wait for its reader")
        assert connection.handed < 8 * SIZE // 2
        received = bytearray(first)
        while not received.endswith(b"\r\n0\r\n\r\n"):
            received += client.recv(1 << 20)
    found, _ = chunks(bytes(received).partition(b"\r\n\r\n")[2])
    assert b"".join(found) == CONTENT * 8


def stands_still(child: Child) -> bool:
    """Whether it wrote nothing for a while."""

    def written() -> str:
        return next(line for line in Path(f"/proc/{child.pid}/io").read_text().split("\n") if "wchar" in line)

    before = written()
    threading.Event().wait(0.3)
    return written() == before


@pytest.mark.parametrize("abort", [False, True])
def test_a_client_that_leaves_in_the_middle_leaves_nothing(
    serve: Callable[..., Serving], children: Children, abort: bool
) -> None:
    serving = serve(children.giving(ENDLESS))

    def leave() -> int:
        client = serving.ask("GET / HTTP/1.1")
        client.recv(1000)
        if abort:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        serving.wait_for_no_client()
        children.wait_for_none()
        return open_descriptors()

    baseline = leave()
    assert [leave() for _ in range(8)][-1] <= baseline


@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_a_child_that_fails_in_the_middle_cuts_the_connection(
    serve: Callable[..., Serving], children: Children, version: str
) -> None:
    """After what it had said. A player that saw a clean end would take that for the whole film; with HTTP/1.0 the end
    of the connection is one, unless it is a reset."""
    serving = serve(children.giving(f"{ALL}\nsys.stdout.flush(); sys.exit('broke')"))
    received = bytearray()
    with serving.ask(f"GET / HTTP/{version}") as client:
        try:
            while chunk := client.recv(1 << 20):
                received += chunk
        except ConnectionResetError:
            pass
        else:
            assert version == "1.1"
    assert b"0\r\n\r\n" not in received[-7:]
    children.wait_for_none()
    assert streams.totals()["test"].ended == {streams.CUT: 1}


@pytest.mark.parametrize("paused", [False, True])
def test_a_stop_of_the_server_cuts_it(serve: Callable[..., Serving], children: Children, paused: bool) -> None:
    serving = serve(children.giving(ENDLESS if paused else SILENT))
    with serving.connect(receive_buffer=4096) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        received = client.recv(1000)
        connection = serving.connection()
        if paused:
            wait_until(lambda: stands_still(children.started[0]), "the child to wait for its reader")
        serving.on_loop(drain.begin)
        if paused:  # as a stopping server does with who takes nothing
            wait_until(lambda: children.started[0].running is False, "the child to be gone")
            serving.on_loop(lambda: connection.wind_up(60.0, 0.0))
        try:
            while chunk := client.recv(1 << 20):
                received += chunk
        except ConnectionResetError:
            pass
    assert not received.endswith(b"0\r\n\r\n")
    children.wait_for_none()


def test_a_client_that_reads_on_after_the_child_was_ended_is_cut(
    serve: Callable[..., Serving], children: Children
) -> None:
    """In the middle of a chunk that was promised, whose rest went with the pipe."""
    serving = serve(children.giving(ENDLESS))
    with serving.connect(receive_buffer=4096) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        received = client.recv(1000)
        wait_until(lambda: stands_still(children.started[0]), "the child to wait for its reader")
        serving.on_loop(children.started[0].kill)
        while chunk := client.recv(1 << 20):
            received += chunk
    assert not received.endswith(b"0\r\n\r\n")
    children.wait_for_none()
    assert streams.totals()["test"].ended == {streams.CUT: 1}


def test_a_right_taken_away_cuts_it(serve: Callable[..., Serving], children: Children) -> None:
    serving = serve(children.giving(ENDLESS))
    with serving.ask("GET / HTTP/1.1") as client:
        client.recv(1000)
        serving.on_loop(lambda: [stream.revoke() for stream in streams.open_streams()])
        with pytest.raises(ConnectionResetError):
            read_to_end(client)
    children.wait_for_none()
    assert streams.totals()["test"].ended == {streams.REVOKED: 1}


def test_a_child_that_gives_nothing_for_too_long_is_cut(
    serve: Callable[..., Serving], children: Children, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(splicing, "SILENT", 0.2)
    serving = serve(children.giving(SILENT))
    with serving.ask("GET / HTTP/1.1") as client:
        assert read_to_end(client).endswith(b"\r\n4\r\nsome\r\n")
    children.wait_for_none()
    assert streams.totals()["test"].ended == {streams.CUT: 1}

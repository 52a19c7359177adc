"""Descriptors exhausted on purpose: the worker stays calm, says so, and is itself again when there are some."""

import resource
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.media import Clips
from tests.system.crowd import paused
from tests.system.harness import Server, read_head, request, share_of_a_core, wait_until

pytestmark = pytest.mark.system

SMALL = 200  # descriptors that a server may have


@pytest.fixture
def small_server(seeded: Path, tmp_path: Path) -> Iterator[Server]:
    started = Server.start(shutil.copytree(seeded, tmp_path / "small"), prefix=("prlimit", f"--nofile={SMALL}", "--"))
    yield started
    started.close_opened()
    started.stop()


class Squeeze:
    """The limit of a running worker lowered to `more` over the descriptors it has, which may be below 0."""

    def __init__(self, server: Server, more: int) -> None:
        # The FFmpeg that is asked for its version at the start leaves numbers free when it ends.
        wait_until(lambda: not server.worker().children(), 20, "no child")
        self.pid = server.worker().pid
        self.hard = resource.prlimit(self.pid, resource.RLIMIT_NOFILE)[1]
        self.more = more

    def __enter__(self) -> "Squeeze":
        used = {int(entry.name) for entry in Path(f"/proc/{self.pid}/fd").iterdir()}
        assert max(used) < len(used) + 3, "numbers in use with gaps between: a limit would not count"
        self.tighten()
        return self

    def tighten(self) -> None:
        """Once more: the worker may have closed some by itself, a connection to the database for one."""
        used = sum(1 for _ in Path(f"/proc/{self.pid}/fd").iterdir())
        resource.prlimit(self.pid, resource.RLIMIT_NOFILE, (used + self.more, self.hard))

    def __exit__(self, *_: object) -> None:
        resource.prlimit(self.pid, resource.RLIMIT_NOFILE, (self.hard, self.hard))


def kept(server: Server) -> socket.socket:
    """A connection that has had an answer and may ask again."""
    connection = server.open("/healthz/live")
    assert ask_again(connection, None)[0] == 200
    return connection


def ask_again(connection: socket.socket, path: str | None, accept: str = "*/*") -> tuple[int, dict[str, str], bytes]:
    if path is not None:
        connection.sendall(request(path, f"Accept: {accept}"))
    status, headers, body = read_head(connection)
    while len(body) < int(headers.get("content-length", 0)):
        body += connection.recv(65536)
    return status, headers, body


def test_what_needs_a_descriptor_is_503_and_one_line(own_server: Server, clips: Clips) -> None:
    """Asked on connections that are there; a file, an FFmpeg, the database, for scripts and for people."""
    added = own_server.add_media(clips["long.mp4"])
    paths = [added["file"], added["stream"], "/live/test-pattern/snapshot.jpg", "/live/test-pattern/mjpeg", "/"]
    connections = [(path, accept, kept(own_server)) for path in paths for accept in ("*/*", "text/html")]
    with Squeeze(own_server, -3):  # the worker lets go of its listening socket, of one connection to the database
        for path, accept, connection in 3 * connections:
            status, headers, body = ask_again(connection, path, accept)
            if path == "/" and status == 200:  # by a thread whose connection to the database was open
                continue
            assert (status, headers["retry-after"]) == (503, "5"), path
            assert (b"<!doctype html>" in body) == (accept == "text/html")
    said = own_server.log.read_text()
    assert 1 <= said.count("the system gives no more") <= 3
    assert "Traceback" not in said
    wait_until(lambda: ask_again(connections[0][2], "/")[0] == 200, 10, "the library")
    # A camera is tried again by itself, each time after a longer while.
    wait_until(lambda: all(status_of(own_server, path) == 200 for path in paths), 30, "all of it")


def status_of(server: Server, path: str) -> int:
    with server.connect() as connection:
        connection.sendall(request(path))
        return read_head(connection)[0]


@pytest.mark.parametrize("more", [0, -6])
def test_clients_who_knock_while_there_is_no_descriptor_cost_nothing(own_server: Server, more: int) -> None:
    """Below what is in use, uvloop turns at 100 % of a core for as long as one waits."""
    worker = own_server.worker()
    with Squeeze(own_server, more) as squeeze:
        knocking = [own_server.open("/healthz/live") for _ in range(30)]

        def looked() -> bool:
            squeeze.tighten()
            return "no descriptor is left" in own_server.log.read_text()

        wait_until(looked, 30, "the worker to look")
        waiting = own_server.open("/healthz/live")
        assert share_of_a_core(worker, 3) < 0.4
    wait_until(own_server.answers, 10, "the worker to be itself again")
    assert read_head(waiting)[0] == 200
    for connection in knocking:  # of whom uvloop took some and let them go, before the worker looked
        connection.close()
    assert own_server.worker().pid == worker.pid
    assert own_server.log.read_text().count("no descriptor is left") <= 2


def test_a_server_with_few_descriptors_takes_as_many_clients_as_it_can_serve(
    small_server: Server, clips: Clips
) -> None:
    added = small_server.add_media(clips["long.mp4"])
    worker = small_server.worker()
    served = [paused(small_server, added["file"]) for _ in range(SMALL // 5)]
    refused = 0
    while refused < 300:
        connection = small_server.open(added["file"])
        status, headers, _ = read_head(connection)
        if status == 200:
            assert len(small_server.opened) - refused <= SMALL // 2, "each takes two at least"
            continue
        assert (status, headers["retry-after"], headers["connection"]) == (503, "5", "close")
        connection.close()
        refused += 1
    assert share_of_a_core(worker, 1) < 0.4
    for connection in served:
        connection.close()
    small_server.close_opened()
    wait_until(small_server.answers, 10, "room")
    assert small_server.worker().pid == worker.pid
    said = small_server.log.read_text()
    assert 1 <= said.count("refused a client") <= 10
    assert "Traceback" not in said

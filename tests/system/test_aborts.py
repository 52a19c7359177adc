"""Clients that leave: at once, by a reset, paused, in the middle. Nothing of them may stay behind."""

import os
import random
import socket
import threading
import time
from collections.abc import Callable

import pytest

from tests.media import Clips
from tests.system.harness import Server, read_head, request, reset, share_of_a_core, wait_until
from tests.system.stored import Stored

pytestmark = pytest.mark.system

ROUNDS = 200


@pytest.fixture(scope="module")
def large(server: Server, clips: Clips) -> Stored:
    stored = Stored.make(server, clips["silent.mp4"], b"")
    os.truncate(stored.path, 2 * 1024**3)
    return stored


def leave(connection: socket.socket) -> None:
    connection.close()


def read_some(connection: socket.socket) -> None:
    read_head(connection)
    connection.recv(1000)


def not_at_all(connection: socket.socket) -> None:
    """The client goes before it has seen a byte, perhaps before FFmpeg has said one."""


def settle(server: Server) -> int:
    wait_until(lambda: not server.ffmpegs(), 40, "no child of the worker")
    wait_until(lambda: not connections(server), 40, "no open connection")
    return server.descriptors()


def comes_back_to(server: Server, baseline: int) -> None:
    """What is merely on its way out is gone in a moment; what has leaked stays."""
    settle(server)
    wait_until(lambda: server.descriptors() <= baseline, 40, f"{server.descriptors()} descriptors down to {baseline}")


def connections(server: Server) -> list[object]:
    return [c for c in server.worker().net_connections("tcp") if c.status != "LISTEN"]


@pytest.mark.parametrize("close", [leave, reset])
@pytest.mark.parametrize("before", [read_some, not_at_all])
def test_aborted_transcodes_leave_nothing(
    server: Server,
    long_clip: dict[str, str],
    before: Callable[[socket.socket], None],
    close: Callable[[socket.socket], None],
) -> None:
    def abort(position: int) -> None:
        connection = server.connect()
        connection.sendall(request(f"{long_clip['stream']}?start={position % 500}&profile=360p"))
        before(connection)
        close(connection)

    abort(0)
    baseline = settle(server)
    for position in range(ROUNDS // 4):
        abort(position)
        if position % 4 == 3:
            wait_until(lambda: len(server.ffmpegs()) < 4, 40, "a free place")
    comes_back_to(server, baseline)


@pytest.mark.parametrize("close", [leave, reset])
def test_aborted_ranges_leave_nothing(
    server: Server, long_clip: dict[str, str], close: Callable[[socket.socket], None]
) -> None:
    def abort(position: int) -> None:
        connection = server.connect()
        connection.sendall(request(long_clip["file"], f"Range: bytes={position}-"))
        if position % 2:
            read_some(connection)
        close(connection)

    for position in range(8):
        abort(position)
    baseline = settle(server)
    for position in range(500):
        abort(position)
    comes_back_to(server, baseline)
    assert share_of_a_core(server.worker(), 1) < 0.2


def test_who_leaves_in_the_middle_of_a_large_file_keeps_nobody_waiting(server: Server, large: Stored) -> None:
    """A body that is sent on for nobody would hold the loop for as long as the file lasts. The best of some: others
    have the processor, too."""
    path, taken = "/healthz/live", bytearray(1024 * 1024)
    with server.connect() as other:
        waits = []
        for _ in range(5):
            leaving = server.connect()
            leaving.sendall(request(large.address))
            read_head(leaving)
            leaving.recv_into(taken, flags=socket.MSG_WAITALL)
            leaving.close()
            started = time.monotonic()
            other.sendall(request(path))
            status, headers, body = read_head(other)
            waits.append(time.monotonic() - started)
            assert status == 200
            while len(body) < int(headers["content-length"]):
                body += other.recv(100)
    assert min(waits) < 0.02, waits


def test_a_paused_viewer_who_leaves_takes_ffmpeg_along(server: Server, long_clip: dict[str, str]) -> None:
    connection = server.connect()
    connection.sendall(request(f"{long_clip['stream']}?profile=1080p"))
    read_some(connection)
    (child,) = server.ffmpegs()
    wait_until(lambda: stands_still(child), 30, "FFmpeg to wait for its reader")
    connection.close()
    wait_until(lambda: not server.ffmpegs(), 5, "FFmpeg gone")


def stands_still(child: object) -> bool:
    """Whether FFmpeg used no processor time for a while: every buffer up to the client is full."""
    before = child.cpu_times().user  # type: ignore[attr-defined]
    time.sleep(0.4)
    return bool(child.cpu_times().user == before)  # type: ignore[attr-defined]


def test_the_bound_on_transcodes_answers_503_and_frees_its_places(server: Server, long_clip: dict[str, str]) -> None:
    viewers = []
    for start in range(1, 5):  # from the beginning they would share one
        viewer = server.connect()
        viewer.sendall(request(f"{long_clip['stream']}?profile=360p&start={start}"))
        assert read_head(viewer)[0] == 200
        viewers.append(viewer)
    refused = server.connect()
    refused.sendall(request(f"{long_clip['stream']}?profile=480p"))
    status, headers, _ = read_head(refused)
    assert (status, headers["retry-after"]) == (503, "5")
    for viewer in [*viewers, refused]:
        viewer.close()
    wait_until(lambda: not server.ffmpegs(), 5, "the places to be free")


def test_a_camera_has_one_ffmpeg_for_all_viewers_and_none_after_them(server: Server) -> None:
    viewers = []
    for _ in range(10):
        viewer = server.connect()
        viewer.sendall(request("/live/test-pattern/mjpeg"))
        status, headers, _ = read_head(viewer)
        assert status == 200
        assert headers["content-type"].startswith("multipart/x-mixed-replace")
        viewers.append(viewer)
    assert len(server.ffmpegs()) == 1
    for viewer in viewers:
        viewer.close()
    wait_until(lambda: not server.ffmpegs(), 15, "the camera to rest after its linger")


@pytest.mark.parametrize("path", ["file", "stream", "mjpeg"])
def test_clients_that_leave_at_any_moment_leave_nothing(server: Server, long_clip: dict[str, str], path: str) -> None:
    """While a view has answered and a middleware still awaits its thread, nobody but the handler knows the body."""
    address = "/live/test-pattern/mjpeg" if path == "mjpeg" else long_clip[path]
    chance = random.Random(5)

    def abort_many() -> None:
        for _ in range(40):
            connection = server.connect()
            connection.sendall(request(address))
            time.sleep(chance.uniform(0, 0.12))
            connection.close()

    def storm() -> None:
        clients = [threading.Thread(target=abort_many) for _ in range(4)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()

    storm()
    baseline = settle(server)
    storm()
    comes_back_to(server, baseline)

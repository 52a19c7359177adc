"""A worker that hands over to the next, by max_requests or by SIGHUP: who asks meanwhile may not notice, a stream that
was open ends at once, and a download goes on."""

import hashlib
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.media import Clips
from tests.system.crowd import LAST_CHUNK, Crowd, paused
from tests.system.hammer import Hammer
from tests.system.harness import Server, command, read_head, wait_until

pytestmark = pytest.mark.system

TRANSCODES = 4


@pytest.fixture
def start(seeded: Path, tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """A server of the test's own whose downloads may go on for longer than any test waits."""
    started: list[Server] = []

    def start(**environment: str) -> Server:
        environment = {"MEDIASTREAM_DOWNLOAD_GRACE": "60", "MEDIASTREAM_TRANSCODES": str(TRANSCODES), **environment}
        started.append(Server.start(shutil.copytree(seeded, tmp_path / "recycling"), **environment))
        return started[0]

    yield start
    for server in started:
        server.close_opened()
        if server.process.poll() is None:
            server.stop()


class Watcher:
    """Watches a camera on and on, as a page does, and asks again as soon as the stream has ended."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.answers: list[int] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def _watch(self) -> None:
        while not self._stop.is_set():
            with suppress(OSError, AssertionError), self.server.open("/live/test-pattern/mjpeg") as viewer:
                self.answers.append(read_head(viewer)[0])
                while not self._stop.is_set() and viewer.recv(1 << 18):
                    pass

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


def readers_of_the_camera(server: Server) -> int:
    """FFmpegs that hold the source, in whichever worker; a zombie holds nothing."""
    count = 0
    for child in server.children():
        with suppress(psutil.NoSuchProcess):
            count += "lavfi" in command(child) and child.status() != psutil.STATUS_ZOMBIE
    return count


def watch_the_source(server: Server, until: Callable[[], bool]) -> int:
    """The most readers that the camera's source had at one time."""
    most = 0
    while not until():
        most = max(most, readers_of_the_camera(server))
        time.sleep(0.005)
    return most


def test_five_recycled_workers_cost_no_request(start: Callable[..., Server], clips: Clips) -> None:
    """Each leaves with a download under way, for which the next must not wait."""
    server = start(GUNICORN_CMD_ARGS="--max-requests 50")
    added = server.add_media(clips["long.mp4"])
    seen = {server.worker().pid}
    with Hammer(server, added["file"]) as hammer:
        while len(seen) < 6:
            paused(server, added["file"])
            wait_until(lambda: server.workers()[-1].pid not in seen, 30, "the next worker")
            seen.add(server.workers()[-1].pid)
    assert hammer.failures == []
    assert hammer.answered > 200
    assert hammer.slowest < 10
    server.close_opened()
    wait_until(lambda: len(server.workers()) == 1, 30, "the old workers' end")


def test_the_heartbeat_goes_on_while_a_recycled_worker_finishes_its_downloads(
    start: Callable[..., Server], clips: Clips
) -> None:
    """The arbiter kills a worker that has been silent for `timeout` seconds, which a stopping server is not asked."""
    server = start(GUNICORN_CMD_ARGS="--max-requests 10 --timeout 3")
    added = server.add_media(clips["long.mp4"])
    download = paused(server, added["file"])
    old = server.worker()
    with Hammer(server, added["file"]):
        wait_until(lambda: server.workers()[-1].pid != old.pid, 30, "the next worker")
    time.sleep(6)  # twice the timeout
    assert old.is_running()
    download.close()
    wait_until(lambda: not old.is_running(), 10, "the old worker's end")


def test_a_source_has_one_reader_at_a_time_when_workers_change(start: Callable[..., Server]) -> None:
    """A device, and many a camera on the network, can be opened once only."""
    server = start(GUNICORN_CMD_ARGS="--max-requests 30")
    old = server.worker()
    watcher = Watcher(server)
    try:
        wait_until(lambda: readers_of_the_camera(server) == 1, 20, "the camera")
        with Hammer(server, "/healthz/live", clients=1):
            most = watch_the_source(server, until=lambda: not old.is_running())
        wait_until(lambda: len(watcher.answers) > 1 and watcher.answers[-1] == 200, 20, "the viewer to be back")
    finally:
        watcher.stop()
    assert most == 1
    # A viewer who comes back in the very moment of the change may be told to come again (503), and is let in then.
    assert watcher.answers[-1] == 200
    assert set(watcher.answers) <= {200, 503}


def test_a_reload_with_hundreds_of_streams(start: Callable[..., Server], clips: Clips) -> None:
    server = start()
    added = server.add_media(clips["long.mp4"])
    crowd = Crowd.gather(server, added, TRANSCODES)
    old = server.worker()
    ffmpegs = server.ffmpegs()
    assert len(ffmpegs) == TRANSCODES + 1
    with Hammer(server, added["file"]) as hammer:
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: not any(child.is_running() for child in ffmpegs), 10, "the old worker's FFmpegs gone")
        assert all(tail and tail.endswith(LAST_CHUNK) for tail in crowd.watching.finish())
        assert not any(tail and tail.endswith(LAST_CHUNK) for tail in crowd.transcodes.finish())
        wait_until(lambda: len(server.workers()) == 2, 20, "the new worker")
        answered = hammer.answered
        wait_until(lambda: hammer.answered > answered + 50, 30, "answers of the new worker")
    assert hammer.failures == []
    assert hammer.slowest < 15
    assert old.is_running()
    assert hashlib.sha256(rest_of(crowd.downloads[0])).digest() == digest_of(clips["long.mp4"])
    for connection in [*crowd.downloads, *crowd.uploads]:
        connection.close()
    wait_until(lambda: not old.is_running(), 20, "the old worker's end, when its last download has ended")
    assert read_head(server.open("/live/test-pattern/mjpeg"))[0] == 200


def rest_of(download: object) -> bytes:
    """What a client that had paused since the head gets when it reads on."""
    received = bytearray()
    while chunk := download.recv(1 << 20):  # type: ignore[attr-defined]
        received += chunk
    return bytes(received)


def digest_of(path: Path) -> bytes:
    return hashlib.sha256(path.read_bytes()).digest()


def test_a_worker_that_crashes_is_replaced_while_an_older_one_finishes_its_downloads(
    start: Callable[..., Server], clips: Clips
) -> None:
    """The older one does not listen any more; gunicorn counts it all the same."""
    server = start()
    added = server.add_media(clips["long.mp4"])
    paused(server, added["file"])
    old = server.worker()
    server.process.send_signal(signal.SIGHUP)
    wait_until(lambda: len(server.workers()) == 2, 20, "the new worker")
    wait_until(server.answers, 20, "the new worker to answer")
    os.kill(server.workers()[-1].pid, signal.SIGKILL)
    wait_until(server.answers, 20, "a third worker to answer")
    assert old.is_running()


def test_a_stop_that_comes_while_the_worker_loads_is_not_lost(seeded: Path, tmp_path: Path) -> None:
    """uvloop loses a signal that comes before it runs; the arbiter asks once, and then waits for the whole grace."""
    server = Server.start(shutil.copytree(seeded, tmp_path / "loading"), MEDIASTREAM_DOWNLOAD_GRACE="60")
    for _ in range(3):
        os.kill(server.worker().pid, signal.SIGKILL)
        wait_until(lambda: "Booting worker" in server.log.read_text().splitlines()[-1], 20, "a worker that loads")
        time.sleep(0.1)
        booting = server.worker()
        os.kill(booting.pid, signal.SIGTERM)
        booting.wait(10)  # raises when they are over
        wait_until(server.answers, 20, "the next worker to answer")
    server.stop()

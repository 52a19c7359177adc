"""Clients beside each other: who is slow keeps nobody waiting, and a disk that is, neither."""

import os
import selectors
import socket
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from tests.media import Clips
from tests.system.crowd import paused
from tests.system.harness import Server, read_head, request
from tests.system.stored import Stored

pytestmark = pytest.mark.system

MIB = 1024**2
COLD = 512 * MIB
BOUNDARY = b"\r\n--frame"


class Slow:
    """Clients that take one byte a second each."""

    def __init__(self, connections: list[socket.socket]) -> None:
        self.connections = connections
        self.taken = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._take)
        self._thread.start()

    def _take(self) -> None:
        while not self._stop.wait(1.0):
            for connection in self.connections:
                self.taken += len(connection.recv(1))

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


def download(server: Server, address: str) -> float:
    """Seconds for the whole."""
    with server.connect() as client:
        started = time.monotonic()
        client.sendall(request(address, "Connection: close"))
        _, headers, body = read_head(client)
        received, buffer = len(body), bytearray(MIB)
        while count := client.recv_into(buffer):
            received += count
        assert received == int(headers["content-length"])
        return time.monotonic() - started


def test_slow_readers_beside_fast_ones(server: Server, clips: Clips, long_clip: dict[str, str]) -> None:
    """A hundred take a byte a second, of files, a camera and a transcode; they get it, and who is fast is served."""
    large = Stored.make(server, clips["silent.mp4"], b"")
    os.truncate(large.path, 512 * MIB)
    alone = statistics.median(download(server, large.address) for _ in range(3))
    paths = [large.address] * 80 + ["/live/test-pattern/mjpeg"] * 18 + [f"{long_clip['stream']}?profile=360p"] * 2
    slow = Slow([paused(server, path) for path in paths])
    try:
        beside = statistics.median(download(server, large.address) for _ in range(3))
        time.sleep(3)
    finally:
        slow.stop()
        server.close_opened()
    assert slow.taken >= 2 * len(paths)
    assert beside < 3 * alone + 1


class Viewers:
    """Viewers of a camera, and when each of their frames came."""

    def __init__(self, server: Server, count: int) -> None:
        self.frames: dict[socket.socket, list[float]] = {}
        self._selector = selectors.DefaultSelector()
        for _ in range(count):
            connection = server.open("/live/test-pattern/mjpeg")
            assert read_head(connection)[0] == 200
            self.frames[connection] = []
            self._selector.register(connection, selectors.EVENT_READ)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def _watch(self) -> None:
        while not self._stop.is_set():
            for key, _ in self._selector.select(0.1):
                if BOUNDARY in key.fileobj.recv(1 << 20):  # type: ignore[union-attr]
                    self.frames[key.fileobj].append(time.monotonic())  # type: ignore[index]

    def stop(self) -> list[float]:
        """Seconds between a viewer's frames, of all."""
        self._stop.set()
        self._thread.join()
        return [later - earlier for times in self.frames.values() for earlier, later in pairwise(times)]


@contextmanager
def cold_file(server: Server, clips: Clips) -> Iterator[Stored]:
    """On the disk, and not in memory."""
    stored = Stored.make(server, clips["silent.mp4"], b"")
    block = os.urandom(16 * MIB)
    with stored.path.open("r+b") as file:
        for _ in range(COLD // len(block)):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    try:
        yield stored
    finally:
        Path(stored.path).unlink()


def test_a_file_from_a_cold_disk_leaves_live_frames_on_time(server: Server, clips: Clips) -> None:
    with cold_file(server, clips) as cold:
        viewers = Viewers(server, 20)
        try:
            time.sleep(2)
            took = download(server, cold.address)
        finally:
            gaps = viewers.stop()
            server.close_opened()
    assert len(gaps) > 20 * 5 * took
    assert statistics.median(gaps) < 0.12  # the pattern has 25 frames a second, of which a camera's row may want fewer
    assert max(gaps) < 1

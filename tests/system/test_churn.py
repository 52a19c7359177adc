"""Hundreds of viewers who come and go at random leave nothing behind: descriptors, processes, tasks, memory.

CHURN_SECONDS in the environment sets how long they do; two minutes show a leak that twenty seconds may hide.
"""

import json
import os
import random
import selectors
import socket
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

import pytest

from tests.system.harness import Server, request, reset, wait_until
from tests.system.sources import flaky
from tests.system.websocket import WebSocket

pytestmark = pytest.mark.system

SECONDS = float(os.environ.get("CHURN_SECONDS", "20"))
WARM_UP = 8.0  # seconds, in which is allotted what is allotted once
VIEWERS = 500
CHANGES = 60  # viewers a second who leave, each followed by another
# Bytes the worker may have more: what malloc keeps of the largest crowd. Measured, it levels out at 30 MB after some
# 6000 viewers; what is kept for each of those who have gone would not.
GROWTH = 48 * 1024 * 1024


@pytest.fixture
def watched(own_server: Server) -> Iterator[Server]:
    """With a camera by FFmpeg and one without."""
    with flaky() as source:
        own_server.manage("add_camera", "flaky", source.url, "--visibility", "public")
        yield own_server


@dataclass
class Churn:
    """Viewers of every kind: who read, who never do, who leave in order or by a reset, at any moment."""

    server: Server
    chance: random.Random = field(default_factory=lambda: random.Random(7))
    selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)
    viewers: list[socket.socket] = field(default_factory=list)
    received: int = 0
    come: int = 0

    def run(self, seconds: float) -> None:
        until, started, changed = time.monotonic() + seconds, time.monotonic(), 0
        while time.monotonic() < until:
            while len(self.viewers) < VIEWERS and time.monotonic() < until:
                self._come()
            due = int((time.monotonic() - started) * CHANGES)
            for _ in range(min(due - changed, len(self.viewers) // 4)):  # a busy machine lets them in more slowly
                self._go(self.viewers.pop(self.chance.randrange(len(self.viewers))))
            changed = due
            self._read()

    def end(self) -> None:
        while self.viewers:
            self._go(self.viewers.pop())

    def _come(self) -> None:
        self.come += 1
        slug = self.chance.choice(("flaky", "test-pattern"))
        if self.chance.random() < 0.2:
            viewer = self._by_socket(slug)
        else:
            viewer = self.server.connect()
            query = self.chance.choice(("", "?fps=2"))
            viewer.sendall(request(f"/live/{slug}/mjpeg{query}"))
        self.viewers.append(viewer)
        viewer.setblocking(False)
        if self.chance.random() < 0.8:
            self.selector.register(viewer, selectors.EVENT_READ)

    def _by_socket(self, slug: str) -> socket.socket:
        opened = WebSocket(self.server, "/ws/live/")
        opened.send(json.dumps({"show": {slug: {"fps": 5, "width": 300}}}))
        return opened.connection

    def _go(self, viewer: socket.socket) -> None:
        with suppress(KeyError):
            self.selector.unregister(viewer)
        if self.chance.random() < 0.5:
            reset(viewer)
        else:
            viewer.close()

    def _read(self) -> None:
        for key, _ in self.selector.select(0.02):
            viewer: socket.socket = key.fileobj  # type: ignore[assignment]
            with suppress(BlockingIOError):
                self.received += len(viewer.recv(1 << 18))


def open_streams(server: Server) -> list[str]:
    with urllib.request.urlopen(server.url("/metrics"), timeout=20) as answer:
        lines: list[str] = answer.read().decode().splitlines()
    counts = [line for line in lines if line.startswith("mediastream_streams_open{")]
    return [line for line in counts if float(line.rpartition(" ")[2])]


def at_rest(server: Server) -> tuple[int, int, int]:
    """Descriptors, threads and resident bytes of the worker, once its cameras have gone to rest."""
    wait_until(lambda: not server.ffmpegs(), 30, "no FFmpeg without viewers")
    wait_until(lambda: not open_streams(server), 30, "no stream without its viewer")
    worker = server.worker()
    return server.descriptors(), worker.num_threads(), worker.memory_info().rss


def test_viewers_who_come_and_go_leave_nothing(watched: Server) -> None:
    churn = Churn(watched)
    churn.run(WARM_UP)
    churn.end()
    descriptors, threads, memory = at_rest(watched)
    churn.run(SECONDS)
    assert len(churn.viewers) > VIEWERS / 2
    churn.end()
    after = at_rest(watched)
    print(f"{churn.come} viewers, {churn.received >> 20} MiB; before", (descriptors, threads, memory), "after", after)
    assert after[0] <= descriptors
    assert after[1] <= threads + 2, "threads of the pool come as they are needed"
    assert after[2] - memory < GROWTH
    log = watched.log.read_text()
    assert "Traceback" not in log
    assert "was destroyed but it is pending" not in log

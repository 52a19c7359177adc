"""A source that is killed, or freezes, under viewers of every kind: each has its pictures again by itself, within
three seconds, on the connection and the page it has."""

import json
import re
import signal
import struct
import threading
import time
from collections.abc import Iterator

import psutil
import pytest
from playwright.sync_api import Page, expect

from tests.browser import chromium
from tests.system.conftest import WAIT
from tests.system.harness import Server, wait_until
from tests.system.sources import Flaky, flaky
from tests.system.test_cameras import Viewer
from tests.system.websocket import BINARY, WebSocket

pytestmark = pytest.mark.system

BACK_WITHIN = 3.0  # seconds
DOWN = 0.8  # seconds: what it takes to start a process anew
VIEWERS = 5


@pytest.fixture
def source() -> Iterator[Flaky]:
    with flaky() as running:
        yield running


@pytest.fixture
def watched(own_server: Server, source: Flaky) -> Server:
    """Has a camera `flaky`, public."""
    own_server.manage("add_camera", "flaky", source.url, "--visibility", "public")
    return own_server


class Watching:
    """Reads all that comes, in a thread: `captured` is when the latest picture was."""

    def __init__(self, times: Iterator[float]) -> None:
        self.captured = 0.0
        self._thread = threading.Thread(target=self._read, args=(times,), daemon=True)
        self._thread.start()

    def _read(self, times: Iterator[float]) -> None:
        try:
            for captured in times:
                self.captured = captured
        except (OSError, EOFError):
            pass  # the test is over and has closed the connection


def by_mjpeg(server: Server, slug: str) -> Iterator[float]:
    return (captured for captured, _ in Viewer(server, f"/live/{slug}/mjpeg").parts())


def by_socket(server: Server, slug: str) -> Iterator[float]:
    socket = WebSocket(server, "/ws/live/")
    server.opened.append(socket.connection)
    socket.send(json.dumps({"show": {slug: {"fps": 10, "width": 300}}}))
    while True:
        opcode, payload = socket.receive()
        if opcode == BINARY:
            yield struct.unpack_from("!Hd", payload)[1]


def everybody(server: Server, slug: str) -> list[Watching]:
    ways = [by_mjpeg(server, slug) for _ in range(VIEWERS)] + [by_socket(server, slug) for _ in range(VIEWERS)]
    viewers = [Watching(way) for way in ways]
    wait_until(lambda: all(viewer.captured > 0 for viewer in viewers), 30, "a picture for everybody")
    return viewers


def back(viewers: list[Watching], since: float) -> float:
    """Seconds until everybody had a picture that was captured after that."""
    wait_until(lambda: all(viewer.captured > since for viewer in viewers), 30, "pictures for everybody again")
    return time.time() - since


def test_an_ffmpeg_that_is_killed(own_server: Server) -> None:
    viewers = everybody(own_server, "test-pattern")
    [ffmpeg] = own_server.ffmpegs()
    ffmpeg.send_signal(signal.SIGKILL)
    assert back(viewers, time.time() + 0.1) < BACK_WITHIN


def test_a_camera_that_dies_and_returns(watched: Server, source: Flaky) -> None:
    viewers = everybody(watched, "flaky")
    source.die()
    died = time.time()
    time.sleep(DOWN)
    source.come_back()
    assert back(viewers, died + 0.1) < BACK_WITHIN
    assert not watched.ffmpegs(), "MJPEG over HTTP needs none"


def state(page: Page, words: str, stale: bool) -> None:
    expect(page.locator("[data-mjpeg$='/flaky/mjpeg'] .state")).to_have_text(re.compile(words), timeout=WAIT)
    expect(page.locator("[data-mjpeg$='/flaky/mjpeg'].stale")).to_have_count(int(stale))


@pytest.mark.browser
@pytest.mark.parametrize("address", ["/live/", "/live/flaky/"])
def test_a_page_says_when_a_camera_is_frozen_and_when_it_is_back(watched: Server, source: Flaky, address: str) -> None:
    with chromium() as browser:
        page = browser.new_page()
        loads: list[str] = []
        page.on("load", lambda _: loads.append("load"))
        page.goto(watched.url(address))
        state(page, r"^live$", stale=False)
        page.wait_for_timeout(1500)  # a camera is known by its first pictures, and waited for longer until it is
        source.frozen.set()
        state(page, r"^(no new picture|reconnecting) · \d+ s ago$", stale=True)
        source.frozen.clear()
        state(page, r"^live$", stale=False)
        source.die()
        state(page, r"^reconnecting · \d+ s ago$", stale=True)
        source.come_back()
        state(page, r"^live$", stale=False)
        assert len(loads) == 1


@pytest.mark.browser
def test_a_wall_whose_server_is_frozen_says_so(watched: Server) -> None:
    """Its connection stays open, and nothing comes over it."""
    with chromium() as browser:
        page = browser.new_page()
        page.goto(watched.url("/live/"))
        state(page, r"^live$", stale=False)
        worker: psutil.Process = watched.worker()
        worker.suspend()
        try:
            state(page, r"^reconnecting$", stale=True)
        finally:
            worker.resume()
        state(page, r"^live$", stale=False)

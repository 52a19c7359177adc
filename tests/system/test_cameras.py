"""Cameras over the real server: what a viewer sees when the source fails, on the connection they have."""

import re
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import suppress

import psutil
import pytest
from playwright.sync_api import expect

from tests.browser import chromium
from tests.system.conftest import WAIT
from tests.system.harness import Server, read_head, request, wait_until

pytestmark = pytest.mark.system


class Viewer:
    """Reads an MJPEG stream part by part."""

    def __init__(self, server: Server, path: str) -> None:
        self.connection: socket.socket = server.open(path)
        self.status, _, self._rest = read_head(self.connection)

    def parts(self) -> Iterator[tuple[float, bytes]]:
        """Time of capture and picture."""
        while True:
            found = re.search(rb"Content-Length: (\d+)\r\nX-Timestamp: ([\d.]+)\r\n\r\n", self._rest)
            if found is None or len(self._rest) < found.end() + int(found[1]):
                piece = self.connection.recv(65536)
                assert piece, "the stream was ended"
                self._rest += piece
                continue
            end = found.end() + int(found[1])
            yield float(found[2]), self._rest[found.end() : end]
            self._rest = self._rest[end:]


def test_a_source_that_is_killed_comes_back_on_the_open_stream(own_server: Server) -> None:
    viewers = [Viewer(own_server, "/live/test-pattern/mjpeg") for _ in range(3)]
    streams = [viewer.parts() for viewer in viewers]
    for stream in streams:
        assert next(stream)
    [ffmpeg] = own_server.ffmpegs()
    killed = time.time()
    ffmpeg.send_signal(signal.SIGKILL)
    for stream in streams:
        captured = 0.0
        while captured <= killed + 0.1:
            captured, _ = next(stream)
        assert captured - killed < 3.0


def test_a_source_that_freezes_is_told_of_and_comes_back(own_server: Server) -> None:
    """Once a second a picture says so, with the time of the last real one; then the stall ends the source."""
    stream = Viewer(own_server, "/live/test-pattern/mjpeg").parts()
    for _ in range(10):
        last, _ = next(stream)
    [ffmpeg] = own_server.ffmpegs()
    ffmpeg.suspend()
    frozen = time.time()
    stood_in = []
    while True:
        captured, jpeg = next(stream)
        if captured > frozen + 1:
            break
        if captured == last and jpeg not in stood_in:
            stood_in.append(jpeg)
        last = max(last, captured)
    assert stood_in
    assert time.time() - frozen < 20
    wait_until(lambda: not ffmpeg.is_running(), 5, "the frozen FFmpeg to be gone")


def test_head_of_a_snapshot_tells_the_state_and_starts_nothing(own_server: Server) -> None:
    def state() -> str:
        with own_server.connect() as connection:
            connection.sendall(request("/live/test-pattern/snapshot.jpg", "Connection: close", method="HEAD"))
            status, headers, _ = read_head(connection)
            assert status == 200
            assert ("x-frame-age" in headers) == (headers["x-camera-state"] in ("live", "reconnecting"))
            return headers["x-camera-state"]

    assert state() == "resting"
    assert not own_server.ffmpegs()
    next(Viewer(own_server, "/live/test-pattern/mjpeg").parts())
    assert state() == "live"


def test_a_camera_that_is_always_on_runs_from_the_start_to_the_end(own_server: Server) -> None:
    """Stored by another process, it is started by the one that serves; and with the next start of the server."""
    own_server.manage("add_camera", "yard", "test-pattern", "--always-on")
    wait_until(own_server.ffmpegs, 15, "it to be started")
    own_server.stop()
    again = Server.start(own_server.data_dir)
    try:
        wait_until(again.ffmpegs, 15, "it to be started with the server")
        with again.connect() as connection:
            connection.sendall(request("/live/test-pattern/snapshot.jpg", "Connection: close", method="HEAD"))
            assert read_head(connection)[1]["x-camera-state"] == "resting"
        again.manage("shell", "-v0", "-c", "from mediastream.live.models import Camera as C; C.objects.all().delete()")
        wait_until(lambda: not again.ffmpegs(), 15, "it to be ended")
    finally:
        again.stop()


@pytest.mark.browser
def test_a_page_turns_grey_when_the_source_freezes_and_comes_back(own_server: Server) -> None:
    with chromium() as browser:
        page = browser.new_page()
        page.goto(own_server.url("/live/test-pattern/"))
        expect(page.locator(".state")).to_have_text("live", timeout=WAIT)
        frozen = own_server.ffmpegs()
        frozen[0].suspend()
        wait_until(lambda: not frozen[0].is_running(), 15, "the frozen FFmpeg to be given up")
        wait_until(own_server.ffmpegs, 15, "another to be started")
        frozen = own_server.ffmpegs()
        frozen[0].suspend()  # before its first picture, or soon after
        expect(page.locator(".stale .state")).to_have_text(re.compile(r"\d+ s ago"), timeout=WAIT)
        with suppress(psutil.NoSuchProcess):
            frozen[0].resume()
        expect(page.locator(".state")).to_have_text("live", timeout=WAIT)
        expect(page.locator(".stale")).to_have_count(0)

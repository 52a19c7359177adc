"""A heartbeat among the pictures means nothing to those who read them: a browser, and both FFmpegs."""

import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mediastream.http.multipart import MIXED_HEARTBEAT, MIXED_OPENING, MIXED_TYPE, mixed_part
from tests.browser import chromium
from tests.media import run_ffmpeg
from tests.system.conftest import WAIT

pytestmark = pytest.mark.system

PAGE = b"<!doctype html><img src=/mjpeg>"
COLOURS = """() => {
    const canvas = document.createElement('canvas').getContext('2d');
    canvas.drawImage(document.querySelector('img'), 0, 0);
    const [red, , blue] = canvas.getImageData(8, 8, 1, 1).data;
    return %s;
}"""


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    """Red pictures with heartbeats between and after them, and what follows: blue ones.

    Two of each, as Chromium (156) paints a picture when the next one's header has come.
    """
    pictures = {}
    for colour in ("red", "blue"):
        path = tmp_path_factory.mktemp("colours") / "picture.jpg"
        run_ffmpeg(["-f", "lavfi", "-i", f"color={colour}:size=64x64", "-frames:v", "1", str(path)])
        pictures[colour] = 2 * (mixed_part(path.read_bytes(), 1.0) + 9 * MIXED_HEARTBEAT)
    return MIXED_OPENING + pictures["red"], pictures["blue"]


def test_ffmpeg_reads_the_pictures(stream: tuple[bytes, bytes], ffmpeg_executable: str, tmp_path: Path) -> None:
    argv = [ffmpeg_executable, "-loglevel", "error", "-f", "mpjpeg", "-i", "pipe:0", str(tmp_path / "%d.png")]
    finished = subprocess.run(argv, input=b"".join(stream), capture_output=True, timeout=60)
    assert finished.returncode == 0, finished.stderr
    assert len(list(tmp_path.glob("*.png"))) == 4


class Site:
    """A page with the stream in it, whose second half waits for `go_on`."""

    def __init__(self, halves: tuple[bytes, bytes]) -> None:
        self.halves = halves
        self.go_on = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.serving = [threading.Thread(target=self._serve)]
        self.serving[0].start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.listener.getsockname()[1]}/"

    def close(self) -> None:
        self.go_on.set()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for thread in self.serving:
            thread.join()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.serving.append(threading.Thread(target=self._answer, args=(connection,)))
            self.serving[-1].start()

    def _answer(self, connection: socket.socket) -> None:
        with connection:
            asked = connection.recv(65536)
            stream = asked.startswith(b"GET /mjpeg ")
            kind = MIXED_TYPE if stream else "text/html"
            connection.sendall(
                b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: %s\r\nX-Content-Type-Options: nosniff\r\n\r\n"
                % kind.encode()
            )
            if not stream:
                connection.sendall(PAGE if asked.startswith(b"GET / ") else b"")
                return
            connection.sendall(self.halves[0])
            self.go_on.wait(60)
            connection.sendall(self.halves[1])
            connection.settimeout(60)
            connection.recv(1)  # until the browser has gone


@pytest.fixture
def site(stream: tuple[bytes, bytes]) -> Iterator[Site]:
    started = Site(stream)
    yield started
    started.close()


@pytest.mark.browser
def test_chromium_shows_the_pictures(site: Site) -> None:
    with chromium() as browser:
        page = browser.new_page()
        page.set_default_timeout(WAIT)
        page.goto(site.address, wait_until="commit")
        page.wait_for_function(COLOURS % "red > 200 && blue < 50")
        site.go_on.set()
        page.wait_for_function(COLOURS % "blue > 200 && red < 50")

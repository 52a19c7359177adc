"""wall.js in Chromium, with a server whose streams end in every way: no event tells a page that one has."""

import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import Browser, Page, expect

from mediastream.environment import ROOT
from mediastream.http.multipart import MIXED_OPENING, MIXED_TYPE, mixed_part
from tests.browser import chromium
from tests.live.test_frames import make_jpegs

pytestmark = pytest.mark.browser

TILE = b"""<span class="picture" data-mjpeg="/mjpeg" data-snapshot="/snapshot.jpg">
<img alt="Yard"><span class="state">connecting</span></span>"""
PAGE = b"""<!doctype html>%b<script type="module" src="/wall.js"></script>"""
QUICK = {"RETRY_AFTER": 300, "LOOK_EVERY": 50, "STALE_AFTER": 400}  # milliseconds


def quick_script() -> bytes:
    script = (ROOT / "mediastream/static/mediastream/wall.js").read_text()
    for name, value in QUICK.items():
        script, count = re.subn(rf"(?m)^(const {name} =) \d+;", rf"\1 {value};", script)
        assert count == 1, name
    return script.encode()


class Stub(ThreadingHTTPServer):
    """One camera. `then`: what its stream does after a few pictures; `pictures`: what it and the snapshot show;
    `condition`: what the snapshot's head says of it."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.jpegs = make_jpegs()
        self.pictures = self.jpegs
        self.then = "goes on"
        self.snapshots = True
        self.condition: dict[str, str] = {}
        self.asked: Counter[str] = Counter()
        self.over = threading.Event()

    def handle_error(self, request: object, client_address: object) -> None:
        """A page that leaves is none."""


class Answer(BaseHTTPRequestHandler):
    server: Stub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.server.asked[path] += 1
        if path == "/mjpeg" and self.server.then != "fails":
            self.stream()
        elif path == "/":
            self.whole("text/html", PAGE % (TILE * int(self.path.partition("?")[2] or 1)))
        elif path == "/wall.js":
            self.whole("text/javascript", quick_script())
        elif path == "/ago.js":
            self.whole("text/javascript", (ROOT / "mediastream/static/mediastream/ago.js").read_bytes())
        elif path == "/snapshot.jpg" and self.server.snapshots:
            self.whole("image/jpeg", self.server.pictures[0])
        else:
            self.send_error(503)

    def do_HEAD(self) -> None:
        self.server.asked["HEAD"] += 1
        if self.server.snapshots:
            self.whole("image/jpeg", b"")
        else:
            self.send_error(503)

    def whole(self, content_type: str, content: bytes) -> None:
        self.send_response(200)
        for name, value in self.server.condition.items():
            self.send_header(name, value)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def stream(self) -> None:
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Type", MIXED_TYPE)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.chunk(MIXED_OPENING)
        sent = 0
        while sent < 6 or self.server.then == "goes on":
            self.chunk(mixed_part(self.server.pictures[sent % len(self.server.pictures)], sent))
            sent += 1
            if self.server.over.wait(0.04):
                return
        if self.server.then == "ends":
            self.chunk(b"")
        elif self.server.then == "falls silent":
            self.server.over.wait()

    def chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def stub() -> Iterator[Stub]:
    with Stub() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.over.set()
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture
def wall(browser: Browser, stub: Stub) -> Iterator[Page]:
    page = browser.new_page()
    page.goto(f"http://127.0.0.1:{stub.server_address[1]}/")
    expect(page.locator(".state")).to_have_text("live")
    yield page
    page.close()


def until(page: Page, condition: Callable[[], bool]) -> None:
    for _ in range(400):
        if condition():
            return
        page.wait_for_timeout(25)
    raise AssertionError("not within ten seconds")


def says_reconnecting(page: Page) -> None:
    """Looked for with each frame: a stream that breaks off again and again is live in between, and `expect` looks
    once a second only."""
    page.wait_for_function("() => document.querySelector('.stale .state')?.textContent === 'reconnecting'")


def says_live(page: Page) -> None:
    expect(page.locator(".state")).to_have_text("live")
    expect(page.locator(".picture")).not_to_have_class(re.compile(r"\bstale\b"))
    page.wait_for_function("() => document.querySelector('img').naturalWidth > 0")


def test_a_stream_that_goes_on_is_left_alone(wall: Page, stub: Stub) -> None:
    wall.wait_for_timeout(4 * QUICK["STALE_AFTER"])
    says_live(wall)
    assert (stub.asked["/mjpeg"], stub.asked["/snapshot.jpg"]) == (1, 0)


def test_a_stream_that_is_cut_is_shown_grey_and_asked_for_again(wall: Page, stub: Stub) -> None:
    stub.then = "is cut"
    says_reconnecting(wall)
    stub.then = "goes on"
    says_live(wall)
    assert stub.asked["/mjpeg"] > 1


def test_a_stream_that_ended_while_the_camera_goes_on_is_asked_for_again(wall: Page, stub: Stub) -> None:
    """As after a change of the camera: the last picture stays, and is no longer the camera's."""
    stub.pictures = stub.jpegs[:1]
    wall.wait_for_timeout(3 * QUICK["LOOK_EVERY"])
    stub.then = "ends"
    stub.pictures = stub.jpegs[1:]
    until(wall, lambda: stub.asked["/mjpeg"] > 1)
    stub.then = "goes on"
    says_live(wall)


@pytest.mark.parametrize("then", ["falls silent", "ends"])
def test_a_camera_that_gives_nothing_is_shown_grey(wall: Page, stub: Stub, then: str) -> None:
    stub.snapshots = False
    stub.then = then
    says_reconnecting(wall)
    stub.then = "fails"
    wall.wait_for_timeout(3 * QUICK["RETRY_AFTER"])
    says_reconnecting(wall)
    stub.then = "goes on"
    says_live(wall)


def test_a_scene_that_stands_still_stays_live(wall: Page, stub: Stub) -> None:
    """The last picture is the camera's latest, so nothing is wrong with it, and nothing may flicker."""
    stub.pictures = stub.jpegs[:1]
    wall.evaluate(
        """() => {
          window.said = [];
          new MutationObserver(() => said.push(document.querySelector(".state").textContent))
            .observe(document.querySelector(".state"), { childList: true });
        }"""
    )
    until(wall, lambda: stub.asked["/snapshot.jpg"] >= 2)
    assert stub.asked["/mjpeg"] == 1
    assert wall.evaluate("said") == []
    says_live(wall)


RECONNECTING = {"X-Camera-State": "reconnecting", "X-Frame-Age": "12.345"}
LIVE = {"X-Camera-State": "live", "X-Frame-Age": "0.040"}


def test_a_camera_that_fails_is_shown_grey_while_its_stream_goes_on(wall: Page, stub: Stub) -> None:
    """The server's pictures say that it fails, and change each second."""
    stub.condition = RECONNECTING
    expect(wall.locator(".state")).to_have_text("reconnecting · 12 s ago")
    expect(wall.locator(".picture")).to_have_class(re.compile(r"\bstale\b"))
    stub.condition = LIVE
    says_live(wall)
    assert stub.asked["/mjpeg"] == 1


def test_a_picture_that_is_late_is_shown_grey(wall: Page, stub: Stub) -> None:
    stub.condition = {"X-Camera-State": "late", "X-Frame-Age": "3.200"}
    expect(wall.locator(".stale .state")).to_have_text("no new picture · 3 s ago")
    stub.condition = LIVE
    says_live(wall)


def test_a_slow_camera_tells_its_age_and_is_not_grey(wall: Page, stub: Stub) -> None:
    stub.condition = {"X-Camera-State": "live", "X-Frame-Age": "125.000"}
    expect(wall.locator(".state")).to_have_text("live · 2 min ago")
    expect(wall.locator(".picture")).not_to_have_class(re.compile(r"\bstale\b"))


def test_past_the_third_they_are_snapshots_with_the_same_words(browser: Browser, stub: Stub) -> None:
    page = browser.new_page()
    page.goto(f"http://127.0.0.1:{stub.server_address[1]}/?5")
    states = page.locator(".state")
    for number, text in enumerate(["live"] * 3 + ["live · 1 fps"] * 2):
        expect(states.nth(number)).to_have_text(text)
    stub.condition = RECONNECTING
    for number in range(5):
        expect(states.nth(number)).to_have_text("reconnecting · 12 s ago")
    expect(page.locator(".stale")).to_have_count(5)
    stub.condition = LIVE
    expect(page.locator(".stale")).to_have_count(0)
    expect(states.nth(4)).to_have_text("live · 1 fps")
    before = stub.asked["/snapshot.jpg"]
    until(page, lambda: stub.asked["/snapshot.jpg"] > before + 4)
    stub.snapshots = False
    expect(states.nth(4)).to_have_text("reconnecting")
    stub.snapshots = True
    expect(states.nth(4)).to_have_text("live · 1 fps")
    page.close()

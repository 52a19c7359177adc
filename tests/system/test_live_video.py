"""Low-latency H.264 over the real server: who joins late, who is slow, who leaves; and in Chromium."""

import http.client
import io
import itertools
import re
import signal
import socket
import time
import urllib.request
from collections.abc import Iterator

import av
import psutil
import pytest
from playwright.sync_api import Page, expect

from mediastream.live.fmp4 import Fmp4Parser, Fragment, Init
from tests.system.conftest import WAIT
from tests.system.harness import Server, command, wait_until

pytestmark = pytest.mark.system

PATH = "/live/test-pattern/stream.mp4"
SHOWN = "document.querySelector('.picture video')"


class Viewer:
    """Reads fragments."""

    def __init__(self, server: Server, *, receive_buffer: int | None = None) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
        self.connection.sock = made = socket.socket()
        made.settimeout(20)
        if receive_buffer is not None:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        made.connect(("127.0.0.1", server.port))
        server.opened.append(made)
        self.connection.request("GET", PATH)
        self.answer = self.connection.getresponse()
        assert self.answer.status == 200
        self._parser = Fmp4Parser()
        self._ready: list[Init | Fragment] = []
        init = self._next()
        assert isinstance(init, Init)
        self.init = init

    def _next(self) -> Init | Fragment:
        while not self._ready:
            piece = self.answer.read1(65536)
            assert piece, "the stream was ended"
            self._ready = self._parser.feed(piece)
        return self._ready.pop(0)

    def fragments(self) -> Iterator[Fragment]:
        while True:
            found = self._next()
            assert isinstance(found, Fragment)
            yield found

    def decoded(self, fragments: list[Fragment]) -> int:
        """How many pictures a decoder that forgives nothing makes of them."""
        stream = io.BytesIO(self.init.data + b"".join(each.data for each in fragments))
        with av.open(stream, format="mp4") as container:
            [video] = container.streams.video
            video.codec_context.options = {"err_detect": "explode"}
            return sum(1 for _ in container.decode(video))

    def close(self) -> None:
        self.answer.close()
        self.connection.close()


def past_the_first_group(viewer: Viewer) -> None:
    assert any(each.keyframe and each.decode_time for each in viewer.fragments())


def encoders(server: Server) -> list[psutil.Process]:
    return [child for child in server.ffmpegs() if "libx264" in command(child)]


def dropped(server: Server) -> int:
    with urllib.request.urlopen(server.url("/metrics"), timeout=10) as answer:
        found = re.search(rb'^mediastream_dropped_total\{kind="video"\} (\d+)', answer.read(), re.M)
    return int(found[1]) if found else 0


def test_a_late_viewer_begins_with_a_keyframe_and_all_share_one_encoder(server: Server) -> None:
    early = Viewer(server)
    past_the_first_group(early)
    asked = time.monotonic()
    late = Viewer(server)
    content_type = late.answer.headers["Content-Type"]
    assert re.fullmatch(r'video/mp4; codecs="avc1\.[0-9A-F]{6}"', content_type)
    assert content_type == late.init.content_type
    fragments = list(itertools.islice(late.fragments(), 5))
    assert time.monotonic() - asked < 3
    assert fragments[0].keyframe
    assert fragments[0].decode_time > 0
    fragments += itertools.islice(late.fragments(), 55)
    assert late.decoded(fragments) == 60
    assert len(encoders(server)) == 1
    assert len(server.ffmpegs()) == 2
    for one, other in itertools.pairwise(fragments):
        assert one.decode_time + one.duration == other.decode_time
        assert other.duration < 0.2 * late.init.timescale or other.duration < 2 * one.duration
    early.close()
    late.close()
    wait_until(lambda: not server.ffmpegs(), 20, "all FFmpegs to be gone")


def test_a_slow_viewer_skips_to_a_keyframe_and_a_quick_one_nothing(server: Server) -> None:
    before = dropped(server)
    quick, slow = Viewer(server), Viewer(server, receive_buffer=4096)
    stream = quick.fragments()
    seen = [next(stream)]
    while seen[-1].decode_time - seen[0].decode_time < 8 * quick.init.timescale:  # meanwhile the other takes nothing
        seen.append(next(stream))
    for one, other in itertools.pairwise(seen):
        assert one.decode_time + one.duration == other.decode_time
    fragments = []
    for fragment in slow.fragments():
        fragments.append(fragment)
        if fragment.decode_time > seen[-1].decode_time:
            break
    gaps = [
        other for one, other in itertools.pairwise(fragments) if one.decode_time + one.duration != other.decode_time
    ]
    assert gaps
    assert all(each.keyframe for each in gaps)
    assert slow.decoded(fragments) == len(fragments)
    assert dropped(server) > before
    quick.close()
    slow.close()


def test_an_encoder_that_is_killed_cuts_the_stream_and_the_next_one_plays(server: Server) -> None:
    viewer = Viewer(server)
    list(itertools.islice(viewer.fragments(), 5))
    [encoder] = encoders(server)
    encoder.send_signal(signal.SIGKILL)
    killed = time.monotonic()
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        for _ in viewer.fragments():
            pass
    viewer.close()
    again = Viewer(server)
    assert next(again.fragments()).keyframe
    assert time.monotonic() - killed < 5
    again.close()


def test_a_source_that_is_killed_goes_on_in_the_same_stream(server: Server) -> None:
    viewer = Viewer(server)
    stream = viewer.fragments()
    fragments = list(itertools.islice(stream, 5))
    [source] = [child for child in server.ffmpegs() if "lavfi" in command(child)]
    source.send_signal(signal.SIGKILL)
    fragments += itertools.islice(stream, 100)
    assert viewer.decoded(fragments) == 105
    for one, other in itertools.pairwise(fragments):
        assert one.decode_time + one.duration == other.decode_time
    viewer.close()


def test_a_killed_server_leaves_no_encoder(own_server: Server) -> None:
    viewer = Viewer(own_server)
    next(viewer.fragments())
    children = own_server.ffmpegs()
    assert len(children) == 2
    own_server.worker().kill()
    wait_until(lambda: not any(child.is_running() for child in children), 5, "the FFmpegs to be gone")
    viewer.close()


def plays(page: Page) -> None:
    """Its pictures come, and near the newest."""
    wait_for(page, "v.videoWidth === 960 && v.currentTime > 0 && !v.paused")
    before = page.evaluate(f"{SHOWN}.currentTime")
    wait_for(page, f"v.currentTime > {before} + 1")
    wait_for(page, "v.buffered.end(v.buffered.length - 1) - v.currentTime < 2")


def wait_for(page: Page, condition: str) -> None:
    page.wait_for_function(f"() => {{ const v = {SHOWN}; return {condition}; }}", timeout=WAIT)


@pytest.mark.browser
def test_a_late_viewers_video_plays_and_the_choice_is_remembered(page: Page, server: Server) -> None:
    early = Viewer(server)
    past_the_first_group(early)
    page.goto("/live/test-pattern/")
    assert page.get_by_role("radio", name="Pictures").is_checked()
    page.get_by_role("radio", name="Video").check()
    plays(page)
    expect(page.locator(".state")).to_have_text("live", timeout=WAIT)
    expect(page.locator(".picture img")).to_be_hidden(timeout=WAIT)
    assert not page.locator(".picture img").get_attribute("src")
    page.reload()
    expect(page.get_by_role("radio", name="Video")).to_be_checked(timeout=WAIT)
    plays(page)
    page.get_by_role("radio", name="Pictures").check()
    expect(page.locator(".picture img")).to_be_visible(timeout=WAIT)
    expect(page.locator(".state")).to_have_text("live", timeout=WAIT)
    early.close()
    wait_until(lambda: not encoders(server), 20, "the encoder to be gone")


@pytest.mark.browser
def test_a_page_connects_again_and_tells_what_is_stale(page: Page, server: Server) -> None:
    page.goto("/live/test-pattern/")
    page.get_by_role("radio", name="Video").check()
    plays(page)
    encoders(server)[0].kill()
    expect(page.locator(".stale .state")).to_have_text("reconnecting", timeout=WAIT)
    expect(page.locator(".state")).to_have_text("live", timeout=WAIT)
    plays(page)
    [source] = [child for child in server.ffmpegs() if "lavfi" in command(child)]
    source.suspend()
    expect(page.locator(".stale .state")).to_have_text(re.compile(r"\d s ago"), timeout=WAIT)
    expect(page.locator(".state")).to_have_text("live", timeout=2 * WAIT)
    expect(page.locator(".stale")).to_have_count(0, timeout=WAIT)


@pytest.mark.browser
@pytest.mark.parametrize(
    "missing",
    [
        "delete window.MediaSource; delete window.ManagedMediaSource",
        "window.MediaSource.isTypeSupported = () => false",
        # It takes the one type and not the other: learned only when the stream is there.
        "let asked = 0; window.MediaSource.isTypeSupported = () => !asked++",
    ],
)
def test_a_browser_without_the_video_has_the_pictures(page: Page, missing: str) -> None:
    page.add_init_script(f"localStorage.setItem('camera-as', 'video'); {missing}")
    page.goto("/live/test-pattern/")
    expect(page.locator(".state")).to_have_text("live", timeout=WAIT)
    expect(page.get_by_role("radio", name="Pictures")).to_be_checked(timeout=WAIT)
    expect(page.get_by_role("radio", name="Video")).to_be_disabled(timeout=WAIT)
    expect(page.get_by_text("This browser plays no such video.")).to_be_visible(timeout=WAIT)
    expect(page.locator(".picture img")).to_be_visible(timeout=WAIT)

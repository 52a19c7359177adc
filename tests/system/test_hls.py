"""HLS in a real Chromium over the real server: it plays, seeks and says why; nothing is left when its page goes."""

import urllib.request

import pytest
from playwright.sync_api import Page, expect

from tests.media import Clips
from tests.system.conftest import WAIT
from tests.system.harness import Server, wait_until
from tests.system.test_browser import video, wait_for

pytestmark = [pytest.mark.system, pytest.mark.browser]
REASONS = {
    "mpeg4.avi": "container: avi, which this browser does not open",
    "yuv444.mp4": "this browser plays 4:2:0 only",
    "subtitled.mkv": "sound: encode, AC-3, which this browser does not play",
}


def rest(server: Server) -> None:
    wait_until(lambda: not server.ffmpegs(), 60, "the FFmpegs to have gone")


@pytest.mark.parametrize("name", sorted(REASONS))
def test_a_file_the_browser_cannot_play_plays_and_seeks_over_hls(
    page: Page, server: Server, clips: Clips, name: str
) -> None:
    added = server.add_media(clips[name], "--title", f"HLS {name}")
    rest(server)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(added["watch"])
    expect(page.locator("#how")).to_have_text("Transcoded", timeout=WAIT)
    expect(page.locator("#reasons")).to_contain_text(REASONS[name])
    item = added["watch"].split("/")[2]
    assert f"hls started item={item}" not in server.log.read_text(), "a place was taken before anybody played"
    page.evaluate("document.querySelector('#player video').play()")
    wait_for(page, "v.currentTime > 0.5 && v.videoWidth === 320")
    assert video(page, "v.duration") == pytest.approx(10, abs=0.3)
    assert video(page, "v.seekable.end(0)") == pytest.approx(10, abs=0.3)
    video(page, "v.currentTime = 7")
    wait_for(page, "!v.seeking && v.currentTime > 7.3")
    assert video(page, "v.webkitDecodedFrameCount") > 10
    video(page, "v.currentTime = 9.2")
    wait_for(page, "v.ended")
    assert not errors
    page.goto("about:blank")
    rest(server)


def test_text_subtitles_are_shown(page: Page, server: Server, clips: Clips) -> None:
    added = server.add_media(clips["subtitled.mkv"], "--title", "With subtitles")
    page.goto(added["watch"])
    expect(page.locator("#how")).to_have_text("Transcoded", timeout=WAIT)
    page.evaluate("document.querySelector('#player video').play()")
    wait_for(page, "v.currentTime > 0.2 && v.textTracks.length === 1")
    video(page, "v.textTracks[0].mode = 'showing'")
    wait_for(page, "v.textTracks[0].cues && v.textTracks[0].cues.length > 0")
    assert video(page, "v.textTracks[0].cues[0].text") == "Hello there"
    assert video(page, "v.textTracks[0].cues[0].startTime") == pytest.approx(0.5, abs=0.05)
    # Seen, too: the same picture with and without.
    video(page, "v.pause() || (v.currentTime = 3)")
    wait_for(page, "!v.seeking && v.textTracks[0].activeCues.length === 1")
    picture = page.locator("#player video")
    page.wait_for_timeout(300)
    shown = picture.screenshot()
    video(page, "v.textTracks[0].mode = 'hidden'")
    page.wait_for_timeout(300)
    assert picture.screenshot() != shown
    video(page, "v.textTracks[0].mode = 'showing'")
    page.wait_for_timeout(300)
    assert picture.screenshot() == shown


def test_a_slow_connection_brings_a_smaller_picture(page: Page, server: Server, clips: Clips) -> None:
    added = server.add_media(clips["sizes.avi"], "--title", "In two sizes")
    rest(server)
    page.goto(added["watch"])
    expect(page.locator("#how")).to_have_text("Transcoded", timeout=WAIT)
    page.evaluate("document.querySelector('#player video').play()")
    wait_for(page, "v.videoHeight === 480 && v.currentTime > 0.2")
    network = page.context.new_cdp_session(page)
    slow = {"offline": False, "latency": 20, "downloadThroughput": 100_000, "uploadThroughput": 100_000}
    network.send("Network.emulateNetworkConditions", slow)
    video(page, "v.currentTime = 60")
    wait_for(page, "!v.seeking && v.videoHeight === 360 && v.currentTime > 60.5")
    page.goto("about:blank")
    rest(server)


def test_a_worker_that_is_killed_leaves_no_ffmpeg_and_the_player_goes_on(own_server: Server, clips: Clips) -> None:
    base = own_server.add_media(clips["long444.mp4"])["hls"].removesuffix("master.m3u8") + "video-360p/"
    assert segment(own_server, f"{base}50.m4s") == b"moof"
    ffmpegs = own_server.ffmpegs()
    assert ffmpegs
    draft = next((own_server.data_dir / "cache" / "transcode").rglob("*.m4s")).with_name(".draft-left")
    draft.write_bytes(b"half")
    own_server.worker().kill()
    wait_until(lambda: not any(each.is_running() for each in ffmpegs), 5, "no FFmpeg of the dead worker")
    wait_until(own_server.answers, 20, "a new worker to answer")
    assert segment(own_server, f"{base}70.m4s") == b"moof"
    assert segment(own_server, f"{base}50.m4s") == b"moof"
    wait_until(lambda: not draft.exists(), 10, "the dead worker's half of a file to go")


def segment(server: Server, path: str) -> bytes:
    """The kind of its first box."""
    with urllib.request.urlopen(f"{server.url(path)}?viewer=aaaaaaaa11111111", timeout=30) as answer:
        return bytes(answer.read()[4:8])


def test_a_seek_by_hand_in_a_burst_has_two_ffmpegs_at_most(page: Page, server: Server, clips: Clips) -> None:
    added = server.add_media(clips["long444.mp4"], "--title", "Sought")
    rest(server)
    page.goto(added["watch"])
    expect(page.locator("#how")).to_have_text("Transcoded", timeout=WAIT)
    page.evaluate("document.querySelector('#player video').play()")
    wait_for(page, "v.currentTime > 0.2")
    most = 0
    for step in range(30):
        video(page, f"v.currentTime = {20 + (step * 137) % 500}")
        page.wait_for_timeout(40)
        most = max(most, len(server.ffmpegs()))
    video(page, "v.currentTime = 444")
    wait_for(page, "!v.seeking && v.currentTime > 444.3")
    assert 1 <= most <= 2
    page.goto("about:blank")
    rest(server)

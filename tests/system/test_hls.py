"""HLS in a real Chromium over the real server: it plays, seeks and says why; nothing is left when its page goes."""

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

"""A person's browser: upload, play and seek a file, watch a camera, play and seek a transcode."""

from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, Response, expect

from tests.media import Clips
from tests.system.harness import PASSWORD, Server

pytestmark = [pytest.mark.system, pytest.mark.browser]


def sign_in(page: Page) -> None:
    page.goto("/accounts/login/?next=/admin/")
    page.get_by_label("Name").fill("admin")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/admin/")


def upload(page: Page, path: Path, title: str) -> None:
    page.goto("/admin/media_library/media/add/")
    page.locator("#id_title").fill(title)
    page.locator("#id_file").set_input_files(path)
    page.get_by_role("button", name="Save", exact=True).click()


def video(page: Page, expression: str) -> Any:
    return page.evaluate(f"() => {{ const v = document.querySelector('#player video'); return {expression}; }}")


def wait_for(page: Page, condition: str) -> None:
    page.wait_for_function(f"() => {{ const v = document.querySelector('#player video'); return {condition}; }}")


def test_upload_play_and_seek_a_file(page: Page, clips: Clips) -> None:
    sign_in(page)
    upload(page, clips["h264.mp4"], "Uploaded by hand")
    expect(page.locator(".messagelist .success")).to_contain_text("was added successfully")
    answers: list[Response] = []
    page.on("response", lambda answer: answers.append(answer))
    page.goto("/")
    page.get_by_role("link", name="Uploaded by hand").click()
    wait_for(page, "v.readyState >= 2")
    assert video(page, "[v.videoWidth, v.videoHeight, Math.round(v.duration)]") == [320, 180, 10]
    video(page, "v.play()")
    wait_for(page, "v.currentTime > 0.5")
    video(page, "v.currentTime = 7")
    wait_for(page, "!v.seeking && v.currentTime > 7.3")
    assert 206 in {answer.status for answer in answers if answer.url.endswith("/file")}
    assert not [answer for answer in answers if "stream.mp4" in answer.url]


def test_what_the_browser_would_not_play_smoothly_is_transcoded(page: Page, server: Server, clips: Clips) -> None:
    """It knows VP8 by name; MediaCapabilities, asked with the item's own numbers, says no."""
    added = server.add_media(clips["vp8.webm"], "--title", "Too heavy")
    page.goto(added["watch"])
    expect(page.locator("#how")).to_have_text("File")
    wait_for(page, "v.readyState >= 2 && v.currentSrc.endsWith('/file')")
    page.add_init_script(
        """window.asked = [];
        MediaCapabilities.prototype.decodingInfo = async (about) => {
          window.asked.push(about);
          return { supported: true, smooth: !about.video.contentType.includes("vp8"), powerEfficient: false };
        };"""
    )
    page.reload()
    expect(page.locator("#how")).to_have_text("Transcoded")
    expect(page.locator("#reasons")).to_contain_text("VP8, which this browser does not play")
    [asked] = page.evaluate("window.asked.filter(({ video }) => video.contentType.includes('vp8'))")
    assert asked["type"] == "file"
    assert {**asked["video"], "bitrate": 1} == {
        "contentType": 'video/webm; codecs="vp8"', "width": 320, "height": 180, "framerate": 25, "bitrate": 1
    }  # fmt: skip
    assert asked["video"]["bitrate"] == pytest.approx(8 * clips["vp8.webm"].stat().st_size / 3, rel=0.05)


@pytest.mark.parametrize("broken", [False, True])
def test_without_hls_the_stream_is_what_the_browser_plays(
    page: Page, server: Server, clips: Clips, broken: bool
) -> None:
    """It says no to VP8; or yes, and then the file fails all the same, and a copy of it would, too."""
    added = server.add_media(clips["vp8.webm"], "--title", f"No HLS, {broken}")
    page.add_init_script(
        """delete window.MediaSource; delete window.ManagedMediaSource; delete window.WebKitMediaSource;
        const { canPlayType } = HTMLMediaElement.prototype;
        HTMLMediaElement.prototype.canPlayType = function (type) {
          return /mpegurl/.test(type) || (%s && /vp8/.test(type)) ? "" : canPlayType.call(this, type);
        };"""
        % ("false" if broken else "true")
    )
    if broken:
        page.route("**/file", lambda route: route.fulfill(content_type="video/webm", body="no film"))
    streams: list[Response] = []
    page.on("response", lambda answer: "stream.mp4" in answer.url and streams.append(answer))
    page.goto(added["watch"])
    expect(page.locator("#how")).to_have_text("Transcoded")
    page.locator("[data-do=play]").click()
    wait_for(page, "v.currentTime > 0.3")
    assert {answer.status for answer in streams} == {200}
    [query] = {urlsplit(answer.url).query for answer in streams}
    said = parse_qs(query)
    assert "h264" in said["plays"][0].split(",")
    assert ("vp8" in said["plays"][0].split(",")) == broken
    assert said.get("profile") == (["720p"] if broken else None)


def test_a_bad_file_is_refused_in_the_form(page: Page, tmp_path: Path) -> None:
    sign_in(page)
    bad = tmp_path / "notes.mp4"
    bad.write_text("these are notes, not a film\n" * 1000)
    upload(page, bad, "Notes")
    expect(page.locator(".errorlist").first).to_contain_text("This file cannot be used")


def pixels(page: Page) -> str:
    """The camera's present picture, as a data URL of a small canvas."""
    return str(
        page.evaluate(
            """() => {
              const shown = document.querySelector('[data-mjpeg] canvas') ?? document.querySelector('[data-mjpeg] img');
              const canvas = Object.assign(document.createElement('canvas'), {width: 64, height: 36});
              canvas.getContext('2d').drawImage(shown, 0, 0, 64, 36);
              return canvas.toDataURL();
            }"""
        )
    )


@pytest.mark.parametrize("address", ["/live/", "/live/test-pattern/"])
def test_live_frames_change(page: Page, address: str) -> None:
    page.goto(address)
    expect(page.locator(".state").first).to_have_text("live")
    seen = set()
    for _ in range(20):
        seen.add(pixels(page))
        page.wait_for_timeout(150)
    assert len(seen) > 5


def test_a_visitor_is_asked_to_sign_in_for_what_members_see(page: Page, server: Server, clips: Clips) -> None:
    added = server.add_media(clips["silent.mp4"], "--title", "For members", "--visibility", "members")
    page.goto(added["watch"])
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    page.goto("/")
    expect(page.get_by_text("For members")).to_have_count(0)


def test_errors_are_pages_for_people(page: Page) -> None:
    page.goto("/nowhere/")
    expect(page.get_by_role("heading", name="Nothing here")).to_be_visible()

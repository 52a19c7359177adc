"""Recording over the real server: what a crash leaves, what a browser plays, and a disk that takes no more."""

import io
import json
import resource
import shutil
import signal
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import psutil
import pytest
from playwright.sync_api import Page, expect

from tests.system.harness import PASSWORD, Server, read_head, wait_until
from tests.system.visiting import Shell

pytestmark = pytest.mark.system

SHORT = {"MEDIASTREAM_RECORDING_SEGMENT": "1"}  # a second; but a segment ends at a key frame, each two seconds
POSITION = "document.querySelector('.past video').currentTime"


@pytest.fixture(scope="module")
def server(seeded: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One that records `yard` from here on."""
    started = Server.start(shutil.copytree(seeded, tmp_path_factory.mktemp("recording") / "data"), **SHORT)
    started.manage("add_camera", "yard", "test-pattern", "--record", "--visibility", "public")
    yield started
    started.stop()
    assert list(started.data_dir.glob("recordings/**/*.part")) == []


def get(server: Server, path: str) -> bytes:
    with urllib.request.urlopen(server.url(path), timeout=30) as answer:
        return bytes(answer.read())


def recorded(server: Server) -> dict[str, Any]:
    return dict(json.loads(get(server, "/live/yard/recording.json")))


def latest(server: Server) -> dict[str, float]:
    """The stretch that grows."""
    found = recorded(server)["stretches"]
    return dict(found[-1]) if found else {"start": 0.0, "end": 0.0}


def seconds(server: Server) -> float:
    return latest(server)["end"] - latest(server)["start"]


def files(server: Server) -> list[Path]:
    return sorted(server.data_dir.glob("recordings/*/*/*.mp4"))


def set_camera(shell: Shell, values: str) -> None:
    shell.run(f"c = Camera.objects.get(slug='yard'); {values}; c.save()")


@pytest.fixture(scope="module")
def with_yard(seeded: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with that camera, to copy: its servers record it from their start on."""
    folder = shutil.copytree(seeded, tmp_path_factory.mktemp("yard") / "data")
    idle = Server(None, 0, folder, folder / "log")  # type: ignore[arg-type]
    idle.manage("add_camera", "yard", "test-pattern", "--record", "--visibility", "public")
    return folder


def test_a_kill_loses_at_most_the_open_segment(with_yard: Path, tmp_path: Path) -> None:
    server = Server.start(shutil.copytree(with_yard, tmp_path / "killed"), **SHORT)
    try:
        wait_until(lambda: len(files(server)) >= 3, 40, "three segments")
    finally:
        children = server.children()
        for process in (server.process, *server.workers()):
            process.kill()
        server.process.wait()
    assert not psutil.wait_procs(children, timeout=10)[1]  # FFmpegs too
    left = {path: path.read_bytes() for path in files(server)}
    assert len(left) >= 3
    again = Server.start(server.data_dir, **SHORT)
    try:
        wait_until(lambda: len(files(again)) > len(left) + 1, 40, "recording to go on")
        assert all(path.read_bytes() == content for path, content in left.items())
        for stretch in recorded(again)["stretches"]:
            video = get(again, f"/live/yard/recording.mp4?from={stretch['start']}&to={stretch['end']}")
            with av.open(io.BytesIO(video)) as container:
                shown = [float(frame.time or 0) for frame in container.decode(video=0)]
            assert shown[-1] == pytest.approx(stretch["end"] - stretch["start"], abs=1.5)
    finally:
        again.stop()
    assert list(again.data_dir.glob("recordings/**/*.part")) == []


def test_a_camera_that_is_watched_and_recorded_is_encoded_once(server: Server) -> None:
    wait_until(lambda: files(server), 40, "a segment")
    before = len(server.ffmpegs())
    assert before == 2  # the source and the encoder
    with server.open("/live/yard/stream.mp4") as video, server.open("/live/yard/mjpeg") as pictures:
        assert read_head(video)[0] == read_head(pictures)[0] == 200
        assert len(server.ffmpegs()) == before


@pytest.mark.browser
def test_a_span_over_several_segments_plays_and_seeks(server: Server, page: Page) -> None:
    wait_until(lambda: seconds(server) >= 25, 60, "25 seconds")
    page.goto(server.url("/live/yard/"))
    page.locator(".recording select").select_option("1")
    expect(page.locator(".stretches span")).not_to_have_count(0)
    start = latest(server)["start"]
    go = """time => {
        const bar = document.querySelector(".timebar input");
        bar.value = time - (Math.ceil(Date.now() / 1000) - 3600);
        for (const name of ["input", "change"]) bar.dispatchEvent(new Event(name));
    }"""
    page.evaluate(go, start + 5)
    page.wait_for_function(f"{POSITION} > 7")
    expect(page.locator(".player.live")).to_be_hidden()
    expect(page.locator(".player.past video")).to_be_visible()
    assert page.evaluate("document.querySelector('.past video').duration") > 15
    first = page.evaluate("document.querySelector('.past video').src")
    page.evaluate(go, start + 18)  # another file, from there on
    page.wait_for_function(f"{POSITION} > 1 && document.querySelector('.past video').src !== '{first}'")
    page.evaluate(go, start + 3)
    page.wait_for_function(f"{POSITION} > 4")
    page.evaluate("document.querySelector('.past video').currentTime = 15")  # within the file: by ranges
    page.wait_for_function(f"{POSITION} > 16")
    page.get_by_label("Time").focus()
    page.keyboard.press("End")
    expect(page.locator(".player.live .state")).to_have_text("live")
    expect(page.locator(".player.past")).to_be_hidden()


@pytest.mark.browser
def test_a_span_is_saved_from_the_page_and_plays_in_the_library(server: Server, page: Page) -> None:
    wait_until(lambda: seconds(server) >= 8, 60, "8 seconds")
    page.goto(server.url("/accounts/login/?next=/live/yard/"))
    page.get_by_label("Name").fill("admin")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator("[data-show=state]")).to_have_text("Recording")
    start = int(latest(server)["start"])
    for name, at in (("from", start + 1), ("to", start + 5)):
        local = (
            "t => { const d = new Date(t * 1000); return new Date(d - d.getTimezoneOffset() * 60000).toISOString() }"
        )
        page.locator(f"input[name={name}]").fill(page.evaluate(local, at)[:19])
    page.get_by_role("button", name="Save this span").click()
    page.locator("[data-show=saved] a").click()
    page.wait_for_url("**/watch/**")
    page.evaluate("document.querySelector('video').play()")
    page.wait_for_function("document.querySelector('video').currentTime > 2")
    media = page.url.split("/")[-2]
    with server.open(f"/media/{media}/stream.mp4?start=2&profile=360p") as transcode:
        status, _, body = read_head(transcode)
        while len(body) < 100_000:
            body += transcode.recv(65536)
    assert status == 200
    assert b"ftyp" in body[:64]


def test_a_disk_that_refuses_is_said_and_recording_goes_on_when_it_takes_again(server: Server) -> None:
    """EFBIG, which a limit brings about at once, where ENOSPC would need a full disk."""
    wait_until(lambda: recorded(server)["state"] == "recording", 40, "it to record")
    worker = server.worker().pid
    before = resource.prlimit(worker, resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
    try:
        wait_until(lambda: recorded(server)["state"] == "failed", 20, "the state to say so")
    finally:
        resource.prlimit(worker, resource.RLIMIT_FSIZE, before)
    wait_until(lambda: recorded(server)["state"] == "recording", 20, "it to record again")
    count = len(files(server))  # what was begun before the disk refused may have come to its end until now
    wait_until(lambda: len(files(server)) > count, 20, "another segment")
    assert recorded(server)["state"] == "recording"


def test_a_quota_of_bytes_is_kept(server: Server, shell: Shell) -> None:
    wait_until(lambda: len(files(server)) >= 3, 40, "three segments")
    most = max(path.stat().st_size for path in files(server)) * 2
    set_camera(shell, f"c.keep_gb = '{most / 1e9:.6f}'[:8]")
    oldest = files(server)[0]
    wait_until(lambda: not oldest.exists(), 20, "the oldest to go")
    newest = files(server)[-1]
    wait_until(lambda: files(server) and files(server)[-1] > newest, 20, "another segment")
    assert sum(path.stat().st_size for path in files(server)) <= 2 * most
    set_camera(shell, "c.keep_gb = 10")


def test_what_is_switched_off_is_recorded_no_longer(server: Server, shell: Shell) -> None:
    wait_until(lambda: recorded(server)["state"] == "recording", 40, "it to record")
    set_camera(shell, "c.record = False")
    try:
        wait_until(lambda: not server.ffmpegs(), 20, "the camera to rest")
        assert recorded(server)["state"] == "off"
        assert recorded(server)["stretches"]
        assert list(server.data_dir.glob("recordings/*/*.part")) == []
    finally:
        set_camera(shell, "c.record = True")
    wait_until(lambda: recorded(server)["state"] == "recording", 40, "it to record again")


def test_the_reserve_of_the_disk_is_left_alone(with_yard: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(with_yard, tmp_path / "full")
    server = Server.start(folder, **SHORT, MEDIASTREAM_RECORDING_RESERVE=str(10**18))
    try:
        wait_until(lambda: recorded(server)["state"] == "no_room", 40, "the state to say so")
        assert list(folder.glob("recordings/*/*")) == []
        wait_until(lambda: not server.ffmpegs(), 20, "the camera to rest")
    finally:
        server.stop()


def test_a_stop_ends_the_open_segment(with_yard: Path, tmp_path: Path) -> None:
    server = Server.start(shutil.copytree(with_yard, tmp_path / "stopped"))  # ten seconds each
    wait_until(lambda: list(server.data_dir.glob("recordings/*/*.part")), 40, "a segment to be begun")
    time.sleep(1)
    server.stop(signal.SIGINT)
    assert len(files(server)) == 1
    assert list(server.data_dir.glob("recordings/*/*.part")) == []
    with av.open(str(files(server)[0])) as container:
        assert sum(1 for _ in container.decode(video=0)) > 5

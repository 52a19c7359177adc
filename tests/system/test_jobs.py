"""The job worker beside the real server: what it does, and what becomes of it and its jobs when something is killed."""

import os
import re
import shutil
import signal
import sqlite3
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest
from playwright.sync_api import Page, Response, expect

from tests.media import Clips, run_ffmpeg
from tests.system.harness import PASSWORD, Server, command, wait_until
from tests.system.visiting import Shell, sign_in

pytestmark = pytest.mark.system

SOON = 60.0  # seconds


@pytest.fixture(scope="module")
def server(seeded: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    started = Server.start(shutil.copytree(seeded, tmp_path_factory.mktemp("jobs") / "data"), MEDIASTREAM_JOBS="2")
    yield started
    if started.process.poll() is None:
        started.stop()


@pytest.fixture(scope="module")
def endless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Hours of what no browser plays, in a few megabytes: its encode does not end within a test."""
    folder = tmp_path_factory.mktemp("endless")
    black, path = folder / "black.mp4", folder / "endless.mp4"
    picture = ["-f", "lavfi", "-i", "color=black:size=1280x720:rate=25", "-t", "10"]
    run_ffmpeg([*picture, "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv444p", str(black)])
    run_ffmpeg(["-stream_loop", "1500", "-i", str(black), "-c", "copy", str(path)])
    return path


@pytest.fixture(scope="module")
def item(shell: Shell, endless: Path) -> str:
    return shell.add_media(endless)["id"]


def ask(shell: Shell, kind: str, item: str) -> int:
    return int(
        shell.run(
            f"from transcode.jobs import queueing as q\nresult = q.enqueue({kind!r}, Media.objects.get(pk={item!r})).pk"
        )
    )


def row(server: Server, job: int) -> dict[str, Any]:
    with closing(sqlite3.connect(server.data_dir / "mediastream.sqlite3", timeout=20)) as database:
        database.row_factory = sqlite3.Row
        return dict(database.execute("SELECT * FROM jobs_job WHERE id = ?", (job,)).fetchone())


def ids(server: Server, kind: str, item: str) -> list[int]:
    with closing(sqlite3.connect(server.data_dir / "mediastream.sqlite3", timeout=20)) as database:
        found = database.execute(
            "SELECT id FROM jobs_job WHERE kind = ? AND media_id = ?", (kind, item.replace("-", ""))
        )
        return [each[0] for each in found.fetchall()]


def encoders(server: Server) -> list[psutil.Process]:
    return [process for process in server.job_processes() if "libx264" in command(process)]


def running(server: Server, job: int) -> psutil.Process:
    """The encoder, once it has told of some progress."""
    wait_until(lambda: row(server, job)["state"] == "running" and row(server, job)["percent"], SOON, "progress")
    wait_until(lambda: len(encoders(server)) == 1, SOON, "one encoder")
    return encoders(server)[0]


def stop(shell: Shell, job: int) -> None:
    shell.run(f"from transcode.jobs import queueing as q; q.cancel({job})")


def drafts(server: Server) -> set[Path]:
    return {path for path in (server.data_dir / "tmp").iterdir() if path.is_file()}


def test_an_upload_gets_thumbnails_by_the_worker(server: Server, shell: Shell, clips: Clips) -> None:
    added = shell.add_media(clips["h264.mp4"])
    (job,) = ids(server, "thumbnails", added["id"])
    wait_until(lambda: row(server, job)["state"] == "done", SOON, "thumbnails")
    (poster,) = ids(server, "poster", added["id"])
    assert row(server, poster)["state"] == "done"  # the command waited for it
    address = f"/media/{added['id']}/thumbnails"
    with urllib.request.urlopen(server.url(f"{address}.vtt")) as answer:
        text = answer.read().decode()
        assert answer.headers["Content-Type"] == "text/vtt; charset=utf-8"
    assert text.startswith("WEBVTT\n\n00:00:00.000 --> 00:00:02.000\nthumbnails/0.jpg#xywh=0,0,160,90\n")
    with urllib.request.urlopen(server.url(f"{address}/0.jpg")) as answer:
        assert answer.read(2) == b"\xff\xd8"


def test_subtitles_come_from_their_job(server: Server, shell: Shell, clips: Clips) -> None:
    added = shell.add_media(clips["subtitled.mkv"])
    (job,) = ids(server, "subtitles", added["id"])
    wait_until(lambda: row(server, job)["state"] == "done", SOON, "subtitles")
    (kept,) = (server.data_dir / "media" / "subtitles" / added["id"].replace("-", "")).glob("*/2.vtt")
    kept.write_text(kept.read_text().replace("Hello", "Welcome"))
    with urllib.request.urlopen(server.url(f"/media/{added['id']}/subtitles/2.vtt")) as answer:
        assert "Welcome there" in answer.read().decode()


def test_no_wait_leaves_the_probe_to_the_worker(server: Server, clips: Clips) -> None:
    added = server.add_media("--no-wait", clips["silent.mp4"])
    (job,) = ids(server, "probe", added["id"])
    wait_until(lambda: row(server, job)["state"] == "done", SOON, "the probe")
    wait_until(lambda: ids(server, "thumbnails", added["id"]), SOON, "what follows from it")


def test_a_cancelled_job_ends_its_ffmpeg_and_leaves_nothing(server: Server, shell: Shell, item: str) -> None:
    before = drafts(server)  # of other jobs, which end when they like
    job = ask(shell, "encode", item)
    encoder = running(server, job)
    assert encoder.nice() == 10 or os.nice(0) > 0  # niceness adds up
    stop(shell, job)
    wait_until(lambda: not encoder.is_running(), 20, "the encoder's end")
    wait_until(lambda: drafts(server) <= before, 20, "its draft gone")
    assert row(server, job)["state"] == "cancelled"


def test_a_killed_process_of_the_worker_loses_no_job(server: Server, shell: Shell, item: str) -> None:
    """The one of the pool that runs it; then all of the worker."""
    job = ask(shell, "encode", item)
    encoder = running(server, job)
    pool = encoder.parent()
    assert pool is not None
    for victim in (pool, server.job_processes()[0]):
        attempts = row(server, job)["attempts"]
        encoder = running(server, job)
        os.kill(victim.pid, signal.SIGKILL)
        wait_until(lambda: not encoder.is_running(), 20, "the encoder's end")  # noqa: B023
        wait_until(lambda: row(server, job)["attempts"] == attempts + 1, SOON, "another attempt")  # noqa: B023
    running(server, job)
    stop(shell, job)
    wait_until(lambda: not encoders(server), 20, "the encoder's end")
    assert ids(server, "encode", item)[-1:] == [job]


def test_a_second_server_has_no_second_worker(server: Server) -> None:
    second = Server.start(server.data_dir, MEDIASTREAM_JOBS="2")
    try:
        wait_until(lambda: len(server.job_processes()) > 1, SOON, "a worker")
        assert second.job_processes() == []
    finally:
        second.stop()


def test_requests_that_write_are_not_refused_for_a_jobs_sake(
    server: Server, shell: Shell, item: str, clips: Clips
) -> None:
    """Signing in writes a session; meanwhile progress is written, and jobs come and go."""
    job = ask(shell, "encode", item)
    running(server, job)
    with ThreadPoolExecutor(4) as pool:
        adding = [pool.submit(server.add_media, clips["silent.mp4"]) for _ in range(2)]
        signing_in = [pool.submit(sign_in, server, "admin") for _ in range(6)]
        assert all(each.result() for each in signing_in)
        assert all(each.result() for each in adding)
    stop(shell, job)
    wait_until(lambda: not encoders(server), 20, "the encoder's end")
    assert "database is locked" not in server.log.read_text()


@pytest.fixture
def own(seeded: Path, tmp_path: Path) -> Iterator[Server]:
    started = Server.start(shutil.copytree(seeded, tmp_path / "own"), MEDIASTREAM_JOBS="2")
    yield started
    if started.process.poll() is None:
        started.stop()


@pytest.fixture
def own_shell(own: Server) -> Iterator[Shell]:
    made = Shell(own.data_dir)
    yield made
    made.close()


@pytest.mark.parametrize("victim", ["arbiter", "worker"])
def test_kill_9_of_the_server_leaves_nothing_of_the_worker(
    own: Server, own_shell: Shell, endless: Path, victim: str
) -> None:
    job = ask(own_shell, "encode", own_shell.add_media(endless)["id"])
    running(own, job)
    processes = own.job_processes()
    assert len(processes) > 4
    os.kill(own.process.pid if victim == "arbiter" else own.worker().pid, signal.SIGKILL)
    wait_until(lambda: not any(alive(process) for process in processes), 10, "the job worker gone")
    if victim == "worker":
        wait_until(lambda: row(own, job)["attempts"] == 2, SOON, "another worker to take it up")
    else:
        own.process.wait(10)


def alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def test_a_signal_ends_the_worker_with_the_server(own: Server, own_shell: Shell, endless: Path) -> None:
    running(own, ask(own_shell, "encode", own_shell.add_media(endless)["id"]))
    processes = own.job_processes()
    own.stop(seconds=10)
    assert not any(process.is_running() for process in processes)


@pytest.mark.browser
def test_the_bar_shows_what_is_there(page: Page, server: Server, shell: Shell, clips: Clips) -> None:
    added = shell.add_media(clips["mpeg4.avi"])
    (job,) = ids(server, "thumbnails", added["id"])
    wait_until(lambda: row(server, job)["state"] == "done", SOON, "thumbnails")
    sprites: list[Response] = []
    page.on("response", lambda answer: sprites.append(answer) if "/thumbnails/" in answer.url else None)
    page.goto(added["watch"])
    bar = page.locator(".controls input")
    area = bar.bounding_box()
    assert area is not None
    shown = page.locator(".trickplay")
    expect(shown).to_be_hidden()
    bar.hover(position={"x": area["width"] * 0.5, "y": area["height"] / 2})
    expect(shown.locator("span")).to_have_text(re.compile("0:0[45]"))
    expect(shown.locator("div")).to_have_css("background-position", re.compile(r"-320px 0px|-320px -0px"))
    wait_until(lambda: page.wait_for_timeout(50) or [each.status for each in sprites] == [200], SOON, "the sprite")
    page.mouse.move(5, 5)
    expect(shown).to_be_hidden()


@pytest.mark.browser
def test_jobs_in_the_admin(page: Page, server: Server, shell: Shell, item: str) -> None:
    job = ask(shell, "encode", item)
    running(server, job)
    page.goto("/accounts/login/?next=/admin/jobs/job/")
    page.get_by_label("Name").fill("admin")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    first = page.locator("#result_list tbody tr").first
    expect(first).to_contain_text("Encode for browsers")
    expect(first).to_contain_text(re.compile(r"running \d+ %, [\d.e+]+x as fast"))
    fetched: list[str] = []
    page.wait_for_timeout(1000)  # the page is fetched once when the stream is open
    page.on("request", lambda request: fetched.append(request.url))
    shown = first.locator(".field-progress").inner_text()
    expect(first.locator(".field-progress")).not_to_have_text(shown, timeout=1000 * SOON)  # without a reload
    assert not fetched  # the topic tells it
    first.locator("input.action-select").check()
    page.locator("select[name=action]").select_option("cancel")
    page.get_by_role("button", name=re.compile("^(Go|Run)")).click()
    expect(page.locator(".messagelist")).to_contain_text("cancelled")
    wait_until(lambda: not encoders(server), 20, "the encoder's end")
    page.goto(f"/admin/media_library/media/{item}/change/")
    expect(page.locator(".field-jobs")).to_contain_text("Encode for browsers cancelled")

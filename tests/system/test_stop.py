"""The server's own end: by signals, by kill -9 of any of its processes. No child outlives it."""

import http.client
import os
import shutil
import signal
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import psutil
import pytest

from tests.media import Clips
from tests.system.crowd import LAST_CHUNK, Readers, paused
from tests.system.harness import ROOT, Server, free_port, read_head, request, wait_until
from tests.system.visiting import Shell, sign_in

pytestmark = pytest.mark.system


Item = dict[str, str]


@pytest.fixture(scope="module")
def stocked(seeded: Path, clips: Clips, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Item, Item]:
    """A data folder with a film and a short one, to copy."""
    folder = shutil.copytree(seeded, tmp_path_factory.mktemp("stocked") / "data")
    with closing(Shell(folder)) as shell:
        return folder, shell.add_media(clips["long.mp4"]), shell.add_media(clips["h264.mp4"])


@pytest.fixture(scope="module")
def film(stocked: tuple[Path, Item, Item]) -> Item:
    return stocked[1]


@pytest.fixture
def own_server(stocked: tuple[Path, Item, Item], tmp_path: Path) -> Iterator[Server]:
    yield from serving(shutil.copytree(stocked[0], tmp_path / "own"))


@pytest.fixture
def patient_server(stocked: tuple[Path, Item, Item], tmp_path: Path) -> Iterator[Server]:
    """A server whose downloads get longer than any test waits."""
    yield from serving(shutil.copytree(stocked[0], tmp_path / "patient"), MEDIASTREAM_DOWNLOAD_GRACE="60")


def serving(folder: Path, **environment: str) -> Iterator[Server]:
    started = Server.start(folder, **environment)
    yield started
    started.close_opened()
    if started.process.poll() is None:
        started.stop()


def open_streams(server: Server, film: Item) -> list[psutil.Process]:
    """A transcode, a camera both as pictures and as video, and a paused download; returns the FFmpegs."""
    for path in (
        f"{film['stream']}?profile=360p",
        "/live/test-pattern/mjpeg",
        "/live/test-pattern/stream.mp4",
        film["file"],
    ):
        assert read_head(server.open(path))[0] == 200
    found = server.ffmpegs()
    assert len(found) == 3
    return found


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_everything_soon(own_server: Server, film: Item, number: int) -> None:
    ffmpegs = open_streams(own_server, film)
    own_server.stop(number, seconds=6)
    assert not any(child.is_running() for child in ffmpegs)
    assert own_server.process.returncode == 0


def test_a_transcode_is_cut_and_not_ended_by_a_stop(own_server: Server, film: Item) -> None:
    """A player must not take what it got for the whole: the last chunk of the framing is missing."""
    open_streams(own_server, film)
    transcode, camera, *_ = own_server.opened
    own_server.process.send_signal(signal.SIGTERM)
    tail = b""
    while chunk := transcode.recv(65536):
        tail = (tail + chunk)[-100:]
    assert not tail.endswith(b"0\r\n\r\n")
    tail = b""
    while chunk := camera.recv(65536):
        tail = (tail + chunk)[-100:]
    assert tail.endswith(b"0\r\n\r\n")


def test_a_download_gets_its_grace(own_server: Server, stocked: tuple[Path, Item, Item], clips: Clips) -> None:
    size = clips["h264.mp4"].stat().st_size
    connection = own_server.open(stocked[2]["file"])
    _status, headers, body = read_head(connection)
    assert int(headers["content-length"]) == size
    own_server.process.send_signal(signal.SIGTERM)
    while chunk := connection.recv(65536):
        body += chunk
    assert body == clips["h264.mp4"].read_bytes()


def test_a_thread_that_still_works_does_not_hold_the_stop(seeded: Path, tmp_path: Path) -> None:
    """Here it waits to write to a database that another process has locked. Nor does it take the arbiter to end it,
    which here would wait for long."""
    server = Server.start(shutil.copytree(seeded, tmp_path / "busy"), GUNICORN_CMD_ARGS="--graceful-timeout 60")
    signing_in = threading.Thread(target=try_to_sign_in, args=(server,))
    database = sqlite3.connect(server.data_dir / "mediastream.sqlite3", isolation_level=None)
    with closing(database):
        database.execute("BEGIN IMMEDIATE")
        signing_in.start()
        time.sleep(2)  # until its password is hashed
        assert signing_in.is_alive()
        took = server.stop(seconds=40)
    signing_in.join()
    assert took < 10
    assert server.process.returncode == 0


def test_a_stopped_server_has_its_database_in_one_file(own_server: Server, tmp_path: Path) -> None:
    """People copy that one; what only the write-ahead log had would be lost."""
    sign_in(own_server, "admin")
    own_server.stop()
    copied = shutil.copy(own_server.data_dir / "mediastream.sqlite3", tmp_path)
    with closing(sqlite3.connect(copied)) as database:
        assert database.execute("SELECT count(*) FROM django_session").fetchone() == (1,)


def try_to_sign_in(server: Server) -> None:
    with suppress(OSError, http.client.HTTPException):
        sign_in(server, "admin")


def test_viewers_who_take_nothing_do_not_hold_the_stop(patient_server: Server, film: Item) -> None:
    """Their stream's end cannot go out to them; the grace is for downloads."""
    for path in ("/live/test-pattern/mjpeg", "/live/test-pattern/stream.mp4", f"{film['stream']}?profile=1080p"):
        paused(patient_server, path)
    time.sleep(1)  # until every buffer on the way is full
    assert patient_server.stop(seconds=30) < 10


def test_a_first_request_on_its_way_is_answered_by_a_stopping_server(patient_server: Server, film: Item) -> None:
    """No client repeats the first request of a connection, which must not be closed as if it were an idle one."""
    held = paused(patient_server, film["file"])
    watching = patient_server.open("/live/test-pattern/mjpeg")
    assert read_head(watching)[0] == 200
    with patient_server.connect() as new:
        wait_until(lambda: connected(patient_server) == 3, 5, "the new connection to be accepted")
        patient_server.process.send_signal(signal.SIGTERM)
        assert Readers([watching]).finish()[0].endswith(LAST_CHUNK)  # the stop has begun
        new.sendall(request("/healthz/live"))
        status, headers, _ = read_head(new)
    assert (status, headers["connection"]) == (200, "close")
    held.close()
    patient_server.process.wait(10)


def connected(server: Server) -> int:
    return sum(c.status == psutil.CONN_ESTABLISHED for c in server.worker().net_connections("tcp"))


@pytest.mark.parametrize("victim", ["arbiter", "worker"])
def test_kill_9_leaves_no_ffmpeg(own_server: Server, film: Item, victim: str) -> None:
    ffmpegs = open_streams(own_server, film)
    worker = own_server.worker()
    os.kill(own_server.process.pid if victim == "arbiter" else worker.pid, signal.SIGKILL)
    wait_until(lambda: not any(alive(child) for child in ffmpegs), 2, "no FFmpeg")
    if victim == "arbiter":
        own_server.process.wait(5)
        wait_until(lambda: not alive(worker), 5, "no worker")
    else:
        wait_until(own_server.answers, 10, "a new worker to answer")


def alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def test_a_second_start_is_quick_and_says_no_password(seeded: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(seeded, tmp_path / "again")
    started = time.monotonic()
    server = Server.start(folder)
    took = time.monotonic() - started
    server.stop()
    assert "password" not in server.log.read_text()
    assert took < 60  # a bound for a stuck start, not a measurement


def test_a_signal_during_the_set_up_ends_its_steps(tmp_path: Path) -> None:
    environment = {**os.environ, "MEDIASTREAM_DATA_DIR": str(tmp_path / "data"), "PORT": str(free_port())}
    script = subprocess.Popen([ROOT / "script" / "server"], env=environment, stderr=subprocess.DEVNULL)
    try:
        started = psutil.Process(script.pid)
        wait_until(lambda: any(map(_is_ffmpeg, started.children(recursive=True))), 60, "a demo clip")
        children = started.children(recursive=True)
        script.terminate()
        assert script.wait(10) == 143
        wait_until(lambda: not any(alive(child) for child in children), 5, "the steps' end")
    finally:
        script.kill()
        script.wait()


def _is_ffmpeg(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return process.name().startswith("ffmpeg")
    return False

"""The server's own end: by signals, by kill -9 of any of its processes. No child outlives it."""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from tests.media import Clips
from tests.system.harness import ROOT, Server, free_port, read_head, wait_until

pytestmark = pytest.mark.system


def open_streams(server: Server, clips: Clips) -> list[psutil.Process]:
    """A transcode, a camera and a paused download; returns the FFmpegs."""
    added = server.add_media(clips["long.mp4"])
    for path in (f"{added['stream']}?profile=360p", "/live/test-pattern/mjpeg", added["file"]):
        assert read_head(server.open(path))[0] == 200
    found = server.ffmpegs()
    assert len(found) == 2
    return found


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_everything_soon(own_server: Server, clips: Clips, number: int) -> None:
    ffmpegs = open_streams(own_server, clips)
    own_server.stop(number, seconds=6)
    assert not any(child.is_running() for child in ffmpegs)
    assert own_server.process.returncode == 0


def test_a_transcode_is_cut_and_not_ended_by_a_stop(own_server: Server, clips: Clips) -> None:
    """A player must not take what it got for the whole: the last chunk of the framing is missing."""
    open_streams(own_server, clips)
    transcode, camera, _download = own_server.opened
    own_server.process.send_signal(signal.SIGTERM)
    tail = b""
    while chunk := transcode.recv(65536):
        tail = (tail + chunk)[-100:]
    assert not tail.endswith(b"0\r\n\r\n")
    tail = b""
    while chunk := camera.recv(65536):
        tail = (tail + chunk)[-100:]
    assert tail.endswith(b"0\r\n\r\n")


def test_a_download_gets_its_grace(own_server: Server, clips: Clips) -> None:
    added = own_server.add_media(clips["h264.mp4"])
    size = clips["h264.mp4"].stat().st_size
    connection = own_server.open(added["file"])
    _status, headers, body = read_head(connection)
    assert int(headers["content-length"]) == size
    own_server.process.send_signal(signal.SIGTERM)
    while chunk := connection.recv(65536):
        body += chunk
    assert body == clips["h264.mp4"].read_bytes()


@pytest.mark.parametrize("victim", ["arbiter", "worker"])
def test_kill_9_leaves_no_ffmpeg(own_server: Server, clips: Clips, victim: str) -> None:
    ffmpegs = open_streams(own_server, clips)
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
    started = psutil.Process(script.pid)
    wait_until(
        lambda: [child for child in started.children(recursive=True) if child.name().startswith("ffmpeg")],
        60,
        "a demo clip",
    )
    children = started.children(recursive=True)
    script.terminate()
    assert script.wait(10) == 143
    wait_until(lambda: not any(alive(child) for child in children), 5, "the steps' end")

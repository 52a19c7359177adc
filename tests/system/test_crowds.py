"""Hundreds of streams open at once, and the server ends or its worker dies under them."""

import os
import shutil
import signal
import time
from pathlib import Path

import psutil
import pytest

from tests.media import Clips
from tests.system.crowd import LAST_CHUNK, Crowd
from tests.system.harness import Server, read_head, wait_until

pytestmark = pytest.mark.system

TRANSCODES = 8
ATTEMPTS = 5  # on a busy machine a stop may be held up by what is none of its own; one that needs longer always does


def crowded(data_dir: Path, clip: Path) -> tuple[Server, dict[str, str], Crowd]:
    server = Server.start(data_dir, MEDIASTREAM_TRANSCODES=str(TRANSCODES))
    added = server.add_media(clip)
    return server, added, Crowd.gather(server, added, TRANSCODES)


def gone(processes: list[psutil.Process]) -> bool:
    return not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in processes)


def test_a_stop_under_three_hundred_streams_takes_two_seconds(seeded: Path, tmp_path: Path, clips: Clips) -> None:
    times = []
    for attempt in range(ATTEMPTS):
        server, _, crowd = crowded(shutil.copytree(seeded, tmp_path / f"crowded{attempt}"), clips["long.mp4"])
        children = server.children()
        assert len(server.ffmpegs()) == TRANSCODES + 1
        time.sleep(1)
        times.append(server.stop())
        assert server.process.returncode == 0
        assert gone(children)
        assert all(tail and tail.endswith(LAST_CHUNK) for tail in crowd.watching.finish())
        assert not any(tail and tail.endswith(LAST_CHUNK) for tail in crowd.transcodes.finish())
        server.close_opened()
        assert "Traceback" not in server.log.read_text()
        if times[-1] < 2:
            break
    assert min(times) < 2, times


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_worker_that_dies_under_three_hundred_streams_is_replaced_and_leaves_nothing(
    seeded: Path, tmp_path: Path, clips: Clips, number: int
) -> None:
    server, added, crowd = crowded(shutil.copytree(seeded, tmp_path / "crashing"), clips["long.mp4"])
    left = server.data_dir / "tmp" / "left.upload"
    left.write_bytes(b"what the worker wrote of an upload")
    worker, ffmpegs = server.worker(), server.ffmpegs()
    assert len(ffmpegs) == TRANSCODES + 1
    os.kill(worker.pid, number)
    wait_until(lambda: gone(ffmpegs), 5, "no FFmpeg of the dead worker")
    wait_until(server.answers, 20, "a new worker to answer")
    assert not left.exists()
    crowd.watching.finish()
    crowd.transcodes.finish()
    server.close_opened()
    for path in (added["file"], f"{added['stream']}?profile=360p", "/live/test-pattern/mjpeg"):
        assert read_head(server.open(path))[0] == 200
    server.close_opened()
    server.stop()

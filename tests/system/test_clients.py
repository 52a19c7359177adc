"""Programs that people read a camera's MJPEG with: GStreamer's and FFmpeg's own clients, over the real server."""

import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from tests.system.harness import Server

pytestmark = pytest.mark.system

COUNT = 10
PATH = "/live/test-pattern/mjpeg"
DEADLINE = 60.0  # seconds


def run(argv: list[str]) -> None:
    finished = subprocess.run(argv, capture_output=True, text=True, timeout=DEADLINE)
    assert finished.returncode == 0, finished.stdout + finished.stderr


def all_differ(folder: Path, size: tuple[int, int]) -> bool:
    """The pattern's clock and blocks move in each picture; as many as were wanted, or one more."""
    seen = set()
    for path in folder.iterdir():
        with Image.open(path) as picture:
            assert picture.size == size
            seen.add(picture.tobytes())
    return len(seen) == len(list(folder.iterdir())) and COUNT <= len(seen) <= COUNT + 1


def test_gstreamer(server: Server, tmp_path: Path) -> None:
    program = shutil.which("gst-launch-1.0")
    if program is None:
        pytest.skip("no GStreamer")
    pipeline = [
        ["souphttpsrc", f"location={server.url(PATH)}", "is-live=true"],
        ["multipartdemux"],
        ["jpegdec"],
        ["identity", f"eos-after={COUNT + 1}"],
        ["jpegenc"],
        ["multifilesink", f"location={tmp_path}/%02d.jpg"],
    ]
    argv = [program, "-q"]
    for element in pipeline:
        argv += [*element, "!"]
    run(argv[:-1])
    assert all_differ(tmp_path, (960, 540))


def test_ffmpeg(server: Server, ffmpeg_executable: str, tmp_path: Path) -> None:
    source = ["-f", "mpjpeg", "-i", server.url(PATH), "-frames:v", str(COUNT)]
    run(
        [ffmpeg_executable, "-loglevel", "error", "-nostdin", *source, "-fps_mode", "passthrough", f"{tmp_path}/%d.png"]
    )
    assert all_differ(tmp_path, (960, 540))

"""Who shows live pictures, each on core 0: this server, whose camera is an HTTP one (feeder.py, on core 1); ustreamer;
plain Django under uvicorn.

ustreamer is Debian's and wants a video device. Where there is none, a library that is loaded into it may stand in for
one: USTREAMER_DEVICE names it, and it gives the picture that FAKE_FRAME names at 25 a second.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path

import psutil

from bench.peers.candidate import PINNED, Candidate, LeftOut, program, running, version_of
from tests.system.harness import ROOT, Server, free_port

Pictures = dict[str, list[Path]]


@contextmanager
def start_mediastream(folder: Path, pictures: Pictures) -> Iterator[list[Candidate]]:
    feeders, server = [], Server.start(folder / "data", prefix=PINNED)
    try:
        found = []
        for size, paths in pictures.items():
            port = free_port()
            feeders.append(
                subprocess.Popen([sys.executable, "-m", "bench.feeder", str(port), str(paths[0].parent)], cwd=ROOT)
            )
            slug = f"camera-{len(found)}"
            server.manage("add_camera", slug, f"http://127.0.0.1:{port}/", "--visibility", "public")
            process = psutil.Process(server.process.pid)
            found.append(Candidate(size, "mediastream", server.port, f"/live/{slug}/mjpeg", process))
        yield found
    finally:
        server.stop()
        for feeder in feeders:
            feeder.kill()
            feeder.wait()


@contextmanager
def start_ustreamer(folder: Path, pictures: Pictures) -> Iterator[list[Candidate]]:
    device = os.environ.get("USTREAMER_DEVICE")
    if device is None:
        raise LeftOut("ustreamer has no device, see bench/peers/live.py")
    binary = program("ustreamer")
    yield from _one_each(
        "ustreamer", version_of(binary, "--version"), pictures, "/stream",
        lambda port, paths: (
            [binary, "-d", "/dev/video0", "-c", "HW", "-m", "MJPEG", "-r", "640x480", "-f", "25", "-s", "127.0.0.1",
             "-p", str(port), "--tcp-nodelay"],
            {"LD_PRELOAD": device, "FAKE_FRAME": str(paths[0])},
        ),
    )  # fmt: skip


@contextmanager
def start_plain(folder: Path, pictures: Pictures) -> Iterator[list[Candidate]]:
    binary = program("uvicorn", ROOT / ".venv/bin")
    quiet = ["--no-access-log", "--log-level", "error"]
    yield from _one_each(
        "plain Django, uvicorn", version("uvicorn"), pictures, "/mjpeg",
        lambda port, paths: (
            [binary, "--port", str(port), "--loop", "uvloop", "--http", "httptools", *quiet,
             "bench.peers.stock_live:application"],
            {"STOCK_PICTURES": str(paths[0].parent)},
        ),
    )  # fmt: skip


def _one_each(
    name: str,
    number: str,
    pictures: Pictures,
    path: str,
    command: Callable[[int, list[Path]], tuple[list[str], dict[str, str]]],
) -> Iterator[list[Candidate]]:
    """A process for each size of pictures; idle ones take next to nothing."""
    with ExitStack() as stack:
        found = []
        for size, paths in pictures.items():
            port = free_port()
            argv, environment = command(port, paths)
            found += stack.enter_context(running(size, name, number, argv, port, path, **environment))
        yield found


Start = Callable[[Path, Pictures], AbstractContextManager[list[Candidate]]]
STARTS: list[Start] = [
    start_ustreamer,
    start_mediastream,
    start_plain,
]

"""Byte ranges: this server beside nginx and plain Django, alternating in one run, each on core 0.

The client (loadclient.c) is on core 1 and drops bodies in the kernel. Random ranges of 64 KiB and 1 MiB, and
open-ended seeks that hang up after 256 KiB, as a seeking player does; 16 connections. Medians of five rounds,
as ratios of nginx: figures drift twofold on shared machines, ratios less.
"""

import json
import os
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil

from bench.peers.nginx import configuration
from bench.report import Table, on_core
from tests.media import Clips
from tests.system.harness import ROOT, Server, free_port, wait_until

SIZE = 256 * 1024 * 1024
CONNECTIONS = 16
SECONDS = 3
ROUNDS = 5
SEEK = 256 * 1024
KINDS = {"64 KiB": 64 * 1024, "1 MiB": 1024 * 1024, "seeks": 0}
PINNED = ("taskset", "-c", "0")


class Candidate:
    def __init__(self, name: str, port: int, path: str, process: psutil.Process) -> None:
        self.name, self.port, self.path, self.process = name, port, path, process

    def cpu(self) -> float:
        """Seconds of processor time so far, of all its processes."""
        return sum(sum(process.cpu_times()[:2]) for process in [self.process, *self.process.children(recursive=True)])


def main() -> None:
    on_core(1)
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        client = folder / "loadclient"
        subprocess.run(["gcc", "-O2", "-o", client, ROOT / "bench/loadclient.c"], check=True, stderr=subprocess.DEVNULL)
        film = padded(Clips(folder)["h264.mp4"], folder / "file.mp4")
        candidates = [stack.enter_context(start(folder, film)) for start in (nginx, stock, ours)]
        results = {kind: measure(client, candidates, size) for kind, size in KINDS.items()}
    table = Table("ranges", "rate, nginx = 1", *KINDS, "CPU s per GB at 1 MiB, nginx = 1")
    for index, candidate in enumerate(candidates):
        rates = [f"{results[kind][index][0] / results[kind][0][0]:.3f}" for kind in KINDS]
        table.row(candidate.name, *rates, f"{results['1 MiB'][index][1] / results['1 MiB'][0][1]:.1f}")
    table.write()


def padded(clip: Path, target: Path) -> Path:
    """A real film made large by an MP4 box of type `free`, which players pass over."""
    content = clip.read_bytes()
    with target.open("wb") as file:
        file.write(content + struct.pack(">I4s", SIZE - len(content), b"free"))
        while file.tell() < SIZE:
            file.write(os.urandom(min(1 << 20, SIZE - file.tell())))
    return target


def measure(client: Path, candidates: list[Candidate], size: int) -> list[tuple[float, float]]:
    """Median requests a second and CPU seconds per GB of each, the candidates taking turns."""
    rounds: list[list[tuple[float, float]]] = [[] for _ in candidates]
    for _ in range(ROUNDS):
        for figures, candidate in zip(rounds, candidates, strict=True):
            before = candidate.cpu()
            arguments = ["range", candidate.port, candidate.path, CONNECTIONS, SECONDS, SIZE, size]
            arguments += [SEEK] if size == 0 else []  # a limit on what is read hangs up, whatever was asked
            said = json.loads(subprocess.run([client, *map(str, arguments)], capture_output=True, check=True).stdout)
            gigabytes = max(said["mbps"] * said["secs"] / 1000, 1e-9)
            figures.append((said["rps"], (candidate.cpu() - before) / gigabytes))
    return [(statistics.median(r for r, _ in one), statistics.median(c for _, c in one)) for one in rounds]


@contextmanager
def running(name: str, argv: list[str], port: int, **environment: str) -> Iterator[Candidate]:
    process = subprocess.Popen([*PINNED, *argv], cwd=ROOT, env={**os.environ, **environment}, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: answers(port), 20, f"{name} to answer")
        yield Candidate(name, port, "/file.mp4", psutil.Process(process.pid))
    finally:
        process.terminate()
        process.wait(20)


def answers(port: int) -> bool:
    request = urllib.request.Request(f"http://127.0.0.1:{port}/file.mp4", headers={"Range": "bytes=0-0"})
    try:
        with urllib.request.urlopen(request, timeout=2) as answer:
            return bool(answer.status == 206)
    except OSError:
        return False


@contextmanager
def nginx(folder: Path, film: Path) -> Iterator[Candidate]:
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    if not Path(program).exists():
        sys.exit("bench ranges needs nginx")
    port = free_port()
    with running("nginx", [program, "-c", str(configuration(folder, film.parent, port))], port) as candidate:
        yield candidate


@contextmanager
def stock(folder: Path, film: Path) -> Iterator[Candidate]:
    port = free_port()
    gunicorn = [str(ROOT / ".venv/bin/gunicorn"), "-k", "asgi", "-b", f"127.0.0.1:{port}", "--no-control-socket"]
    with running("Django, gunicorn asgi", [*gunicorn, "bench.peers.stock"], port, STOCK_FILE=str(film)) as candidate:
        yield candidate


@contextmanager
def ours(folder: Path, film: Path) -> Iterator[Candidate]:
    server = Server.start(folder / "data", prefix=PINNED)
    try:
        yield Candidate("mediastream", server.port, server.add_media(film)["file"], psutil.Process(server.process.pid))
    finally:
        server.stop()


if __name__ == "__main__":
    main()

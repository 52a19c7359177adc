"""How much is best read for a client at once, where the kernel does not send the file?

One fast client of a 2 GB file under uvicorn and under gunicorn's gthread, several ranges in one answer, which no
server's file wrapper takes; bytes for a second of processor time. Then 200 clients that read a little fast, so that
each has the largest chunk, and pause: memory of each. The sizes alternate within a round.
"""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.report import Table, on_core
from tests.media import Clips
from tests.system.harness import Server, read_head, request
from tests.system.servers import KINDS, Running

KIB = 1024
SIZES = [16 * KIB, 64 * KIB, 128 * KIB, 256 * KIB, 512 * KIB, 1024 * KIB]
SIZE = 2 * 1024**3
PARTS = f"Range: bytes=0-{SIZE // 4 - 1},{SIZE // 2}-{SIZE * 3 // 4 - 1}"
ROUNDS = 5
PAUSED = 200
TAKEN = 8 * KIB * KIB  # bytes, after which a client is known to be fast


def main() -> None:
    on_core(1)
    table = Table(
        "chunks", "server", "largest chunk", "MB per CPU s, median", "spread", "KB of memory per paused client"
    )
    with tempfile.TemporaryDirectory() as folder:
        path, data_dir = stored(Path(folder))
        for name in ("uvicorn", "gunicorn gthread"):
            carried: dict[int, list[float]] = {size: [] for size in SIZES}
            for number in range(ROUNDS):
                for size in SIZES:
                    print(f"bench chunks: {name}, round {number + 1}, {size // KIB} KiB", file=sys.stderr)
                    with running(name, data_dir, size) as server:
                        carried[size].append(per_cpu_second(server, path))
            for size in SIZES:
                found = carried[size]
                with running(name, data_dir, size) as server:
                    cost = f"{paused(server, path) / KIB:.0f}" if name == "uvicorn" else ""
                spread = f"{min(found):.0f} to {max(found):.0f}"
                table.row(name, f"{size // KIB} KiB", f"{statistics.median(found):.0f}", spread, cost)
    table.write()


def stored(folder: Path) -> tuple[str, Path]:
    """A file of zeros: what it holds is of no interest, and it takes no room."""
    server = Server.start(folder / "data")
    path = server.add_media(Clips(folder)["h264.mp4"])["file"]
    server.stop()
    os.truncate(max((server.data_dir / "media" / "media").rglob("*.mp4"), key=os.path.getmtime), SIZE)
    return path, server.data_dir


@contextmanager
def running(name: str, data_dir: Path, size: int) -> Iterator[Running]:
    kind = next(each for each in KINDS if each.name == name)
    settings = {"DJANGO_SETTINGS_MODULE": "mediastream.settings", "MEDIASTREAM_CHUNK_SIZE": str(size)}
    server = Running.run(kind, data_dir, data_dir.parent / "log", **settings)
    for process in server.processes():
        for thread in process.threads():
            os.sched_setaffinity(thread.id, {0})
    try:
        yield server
    finally:
        server.close_opened()
        server.stop(seconds=20)


def cpu(server: Running) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in server.processes())


def per_cpu_second(server: Running, path: str) -> float:
    """MB of both parts for a second of the server's processor time."""
    take(server, path, SIZE // 32)
    before = cpu(server)
    taken = take(server, path, SIZE)
    return taken / 1e6 / (cpu(server) - before)


def take(server: Running, path: str, most: int) -> int:
    """Ask for the parts, read so many bytes of the answer, and leave; returns how many there were."""
    buffer, taken = bytearray(KIB * KIB), 0
    with server.connect() as client:
        client.sendall(request(path, PARTS, "Connection: close"))
        assert read_head(client)[0] == 206
        while taken < most and (count := client.recv_into(buffer)):
            taken += count
    return taken


def paused(server: Running, path: str) -> float:
    """Bytes of memory for each of the clients that were fast for a moment and then stopped to read."""
    take(server, path, TAKEN)
    before = server.memory()
    for _ in range(PAUSED):
        client, left = server.open(path), TAKEN
        while left > 0:
            left -= len(client.recv(left))
    time.sleep(2)
    return (server.memory() - before) / PAUSED


if __name__ == "__main__":
    main()

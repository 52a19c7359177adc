"""What do clients of a 2 GB file cost? 100 that read as fast as they can, and 100 that have paused.

Resident memory of the worker, from before the first to after all are connected, and while they read.
"""

import os
import selectors
import tempfile
import threading
import time
from pathlib import Path

from bench.report import Table, on_core
from tests.media import Clips
from tests.system.harness import Server, read_head

CLIENTS = 100
SIZE = 2 * 1024**3
SECONDS = 20


def main() -> None:
    on_core(1)
    with tempfile.TemporaryDirectory() as folder:
        server = Server.start(Path(folder) / "data", prefix=("taskset", "-c", "0"))
        try:
            measure(server, Clips(Path(folder)))
        finally:
            server.close_opened()
            server.stop()


def measure(server: Server, clips: Clips) -> None:
    path = server.add_media(clips["h264.mp4"])["file"]
    os.truncate(max((server.data_dir / "media" / "media").rglob("*.mp4"), key=os.path.getmtime), SIZE)
    warm_up(server, path)
    before = rss(server)
    readers = [server.open(path) for _ in range(CLIENTS)]
    for connection in [*readers, *(server.open(path) for _ in range(CLIENTS))]:
        assert read_head(connection)[0] == 200
    stop = threading.Event()
    reading = threading.Thread(target=discard, args=(readers, stop))
    reading.start()
    time.sleep(2)
    samples = sample(server)
    stop.set()
    reading.join()
    table = Table("memory", "figure", "value")
    table.row("before the first client", f"{before / 1024:.0f} KB")
    table.row(f"{2 * CLIENTS} clients connected", f"{samples[0] / 1024:.0f} KB")
    table.row("each client", f"{(max(samples) - before) / 1024 / (2 * CLIENTS):.0f} KB")
    table.row(f"drift over {SECONDS} s of reading", f"{(max(samples) - min(samples)) / 1024:.0f} KB")
    table.write()


def warm_up(server: Server, path: str) -> None:
    """Allocate what any traffic allocates once: threads, caches, arenas."""
    for _ in range(30):
        read_head(server.open(path))
    server.close_opened()
    time.sleep(1)


def sample(server: Server) -> list[int]:
    samples = []
    for _ in range(SECONDS * 4):
        samples.append(rss(server))
        time.sleep(0.25)
    return samples


def discard(connections: list[object], stop: threading.Event) -> None:
    selector = selectors.DefaultSelector()
    buffer = bytearray(1024 * 1024)
    for connection in connections:
        selector.register(connection, selectors.EVENT_READ)  # type: ignore[arg-type]
    while not stop.is_set():
        for key, _ in selector.select(0.1):
            if not key.fileobj.recv_into(buffer):  # type: ignore[union-attr]
                selector.unregister(key.fileobj)


def rss(server: Server) -> int:
    return int(server.worker().memory_info().rss)


if __name__ == "__main__":
    main()

"""How long does an FFmpeg outlive its viewer? 100 aborts each: leaving, resetting, leaving while paused.

The clock starts when the client's socket closes and stops when the kernel has no such process any more,
a zombie counting as one. Server on core 0, client on core 1.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from bench.report import Table, on_core
from tests.media import Clips
from tests.system.harness import Server, read_head, reset, wait_until

ROUNDS = 100


def main() -> None:
    on_core(1)
    with tempfile.TemporaryDirectory() as folder:
        server = Server.start(Path(folder) / "data", prefix=("taskset", "-c", "0"))
        try:
            clip = server.add_media(Clips(Path(folder))["long.mp4"])
            table = Table("aborts", "client", "median ms", "p95 ms", "worst ms")
            for name, pause, close in (
                ("leaves", False, lambda connection: connection.close()),
                ("resets", False, reset),
                ("leaves while paused", True, lambda connection: connection.close()),
            ):
                times = sorted(abort(server, clip["stream"], pause, close) for _ in range(ROUNDS))
                table.row(name, *(f"{1000 * figure:.1f}" for figure in summary(times)))
            table.write()
        finally:
            server.close_opened()
            server.stop()


def summary(times: list[float]) -> tuple[float, float, float]:
    return statistics.median(times), times[int(0.95 * len(times))], times[-1]


def abort(server: Server, stream: str, pause: bool, close: Callable[..., None]) -> float:
    connection = server.open(f"{stream}?profile=360p")
    read_head(connection)
    (child,) = server.ffmpegs()
    if pause:
        wait_until(lambda: idle(child), 60, "FFmpeg to wait for its reader")
    else:
        connection.recv(65536)
    started = time.perf_counter()
    close(connection)
    while psutil.pid_exists(child.pid):
        time.sleep(0.0005)
    server.opened.remove(connection)
    return time.perf_counter() - started


def idle(child: psutil.Process) -> bool:
    before = child.cpu_times().user
    time.sleep(0.1)
    return bool(child.cpu_times().user == before)


if __name__ == "__main__":
    main()

"""Live pictures to many: this server beside ustreamer and plain Django, alternating in one run, each on core 0.

Pictures of 30 KB to 50, 200 and 1,000 viewers, of 120 KB to 200, 25 a second, each another; then 100 viewers beside
100 who take 8 KB a second; then 2,000. The client (loadclient.c) is on core 1, with the camera. Medians of rounds in
which the candidates take turns; processor time for 10,000 pictures delivered, as ratios of ustreamer, too. Capturing
is part of it. Latency is from the X-Timestamp of a picture, which is when the server had it, to its last byte.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import astuple, dataclass
from pathlib import Path

from bench import frames
from bench.load import LoadClient, rest
from bench.peers import live
from bench.peers.candidate import Candidate, LeftOut
from bench.report import Table, keep, on_core

RATE = 25  # pictures a second
LARGE = "120 KB"  # uvicorn splits such a picture in two chunks, which the client does not undo: left out there
SIZES = {"30 KB": 30 * 1024, "120 KB": 120 * 1024}
WARM_UP = 2.0  # seconds until all are connected and served
SECONDS = 4.0


@dataclass(frozen=True)
class Load:
    """`size`: of a picture; `slow`: viewers beside, whose share is not counted."""

    size: str
    viewers: int
    slow: int = 0

    def __str__(self) -> str:
        return f"{self.size} x {self.viewers}" + (f" beside {self.slow} slow" if self.slow else "")


@dataclass(frozen=True)
class Watched:
    """`cpu`: seconds for 10,000 pictures; `delivered`: of what was due, 1 is all; `least`: pictures a second of the
    viewer who got fewest; `median`, `late`: milliseconds, of half and of 99 in a hundred pictures; `memory`: bytes
    for a viewer."""

    cpu: float
    delivered: float
    least: float
    median: float
    late: float
    memory: float


LOADS = [
    Load("30 KB", 50), Load("30 KB", 200), Load("30 KB", 1000), Load("120 KB", 200), Load("30 KB", 100, slow=100),
    Load("30 KB", 2000),
]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.fanout", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="of each candidate")
    parser.add_argument("--load", action="append", choices=list(map(str, LOADS)), help="instead of all")
    parser.add_argument("--without-plain", action="store_true", help="leave plain Django out")
    options = parser.parse_args()
    loads = [load for load in LOADS if not options.load or str(load) in options.load]
    on_core(1)
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        pictures = {size: frames.make(folder / str(number), number) for size, number in SIZES.items()}
        client = LoadClient(folder, 0)
        starts = [start for start in live.STARTS if not (options.without_plain and start is live.start_plain)]
        candidates, left_out = started(folder, pictures, stack, starts)
        found = {load: measured(client, candidates, load, options.rounds) for load in loads}
    text = "\n\n".join([report(found), *left_out])
    print(text)
    if len(sys.argv) == 1:
        keep("fanout", text)


def started(
    folder: Path, pictures: live.Pictures, stack: ExitStack, starts: list[live.Start]
) -> tuple[list[Candidate], list[str]]:
    candidates, left_out = [], []
    for start in starts:
        try:
            candidates += stack.enter_context(start(folder, pictures))
        except LeftOut as reason:
            left_out.append(f"Left out: {reason}.")
    return candidates, left_out


def measured(client: LoadClient, candidates: list[Candidate], load: Load, rounds: int) -> dict[str, Watched]:
    runs: dict[str, list[Watched]] = {each.name: [] for each in candidates}
    for number in range(rounds):
        print(f"bench fanout: {load}, round {number + 1}", file=sys.stderr)
        for candidate in candidates:
            if candidate.key == load.size and not (load.size == LARGE and candidate.name.startswith("plain")):
                runs[candidate.name].append(watched(client, candidate, load))
    return {
        name: Watched(*map(statistics.median, zip(*map(astuple, each), strict=True)))
        for name, each in runs.items()
        if each
    }


def watched(client: LoadClient, candidate: Candidate, load: Load) -> Watched:
    rest(candidate)
    memory = candidate.user_memory()
    arguments = ["mj", candidate.port, candidate.path, load.viewers, SECONDS, load.slow, WARM_UP]
    watching = subprocess.Popen([client.program, *map(str, arguments)], stdout=subprocess.PIPE)
    time.sleep(WARM_UP + 0.1 * SECONDS)
    cpu, started = candidate.cpu(), time.monotonic()
    memory = candidate.user_memory() - memory
    time.sleep(0.7 * SECONDS)
    share = (candidate.cpu() - cpu) / (time.monotonic() - started)
    said = json.loads(watching.communicate(timeout=60)[0])
    assert not said["errs"], f"{candidate.name}: {said['errs']} viewers were sent away or cut"
    rate = said["frames"] / said["secs"]
    everybody = load.viewers + load.slow
    return Watched(
        share / rate * 10_000, rate / load.viewers / RATE, said["fps_min"], said["p50ms"], said["p99ms"],
        memory / everybody,
    )  # fmt: skip


def report(found: dict[Load, dict[str, Watched]]) -> str:
    columns = ["load", "server", "CPU s per 10,000", "ustreamer = 1", "delivered", "fewest a second", "ms, half"]
    table = Table("fanout", *columns, "ms, 99 %", "KB a viewer")
    for load, by_name in found.items():
        reference = next((each for name, each in by_name.items() if name == "ustreamer"), None)
        for name, each in by_name.items():
            ratio = f"{each.cpu / reference.cpu:.2f}" if reference is not None else ""
            table.row(
                str(load), name, f"{each.cpu:.3f}", ratio, f"{each.delivered:.1%}", f"{each.least:.1f}",
                f"{each.median:.1f}", f"{each.late:.1f}", f"{each.memory / 1024:.1f}",
            )  # fmt: skip
    return table.text()


if __name__ == "__main__":
    main()

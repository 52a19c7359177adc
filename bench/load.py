"""One run of the load client (loadclient.c) against one candidate, and rounds of runs in which they take turns.

A run that saw one wrong answer is no measurement, and ends the bench: a server that refuses is fast.
After a run the candidate must come to rest before the next one's turn, as they share a core: plain Django goes
on reading for clients that have hung up.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import astuple, dataclass
from pathlib import Path

import psutil

from bench.peers.candidate import Candidate
from tests.system.harness import ROOT

SEEK = 256 * 1024  # bytes a seeking player takes before it hangs up
KINDS = {"64 KiB": 64 * 1024, "1 MiB": 1024 * 1024, "seeks": 0}
WARM_UP = 0.2  # seconds, beside the half second in which the client does not count
REST = 60.0  # seconds a candidate may go on working for clients that have left


@dataclass(frozen=True)
class Run:
    """`rate` is MB a second, as slow servers end few answers in so short a run; `cpu` is seconds per GB that the
    client took. `busy` and `client` are the shares of their cores that server and client used, `others` the share
    of both that anybody else did."""

    rate: float
    cpu: float
    busy: float
    client: float
    others: float

    @classmethod
    def median(cls, runs: list["Run"]) -> "Run":
        columns = zip(*(astuple(run) for run in runs), strict=True)
        return cls(*map(statistics.median, columns))


class LoadClient:
    def __init__(self, folder: Path, file_size: int) -> None:
        self.program, self.file_size = folder / "loadclient", file_size
        subprocess.run(["gcc", "-O2", "-w", "-o", self.program, ROOT / "bench/loadclient.c"], check=True)

    def run(self, candidate: Candidate, kind: str, connections: int, seconds: float) -> Run:
        arguments = ["range", candidate.port, candidate.path, connections, seconds, self.file_size, KINDS[kind]]
        arguments += [] if KINDS[kind] else [SEEK]  # a limit on what is read hangs up, whatever was asked
        cpu, both, started = candidate.cpu(), both_cores(), time.monotonic()
        said = json.loads(
            subprocess.run(
                [self.program, *map(str, arguments)], env=environment(candidate), stdout=subprocess.PIPE, check=True
            ).stdout
        )
        cpu, both, took = candidate.cpu() - cpu, both_cores() - both, time.monotonic() - started
        rest(candidate)
        if said["errs"]:
            where = f"{candidate.name}, {kind}, {connections} connections"
            sys.exit(f"bench ranges: {where}: {said['errs']} wrong or broken answers, {said['reqs']} right ones")
        gigabytes = max(said["total_mb"] / 1000, 1e-9)
        others = max(0.0, (both - cpu) / took - said["busy"]) / 2
        return Run(said["mbps"], cpu / gigabytes, cpu / took, said["busy"], others)


def both_cores() -> float:
    """Seconds that processes have used the cores of server and client."""
    return float(sum(core.user + core.nice + core.system for core in psutil.cpu_times(percpu=True)[:2]))


def environment(candidate: Candidate) -> dict[str, str]:
    headers = "".join(f"{name}: {value}\r\n" for name, value in candidate.headers().items())
    return {**os.environ, "XH": headers, **({"XN": "1"} if candidate.every_different else {})}


def rest(candidate: Candidate) -> None:
    """Until it has used at most one tick of the clock in a tenth of a second, and not for want of a free core."""
    deadline, before = time.monotonic() + REST, candidate.cpu()
    while time.monotonic() < deadline:
        time.sleep(0.1)
        if candidate.cpu() - before < 0.015 and not candidate.runnable():
            return
        before = candidate.cpu()
    sys.exit(f"bench ranges: {candidate.name} still works {REST:.0f} s after its last client left")


def rounds(
    client: LoadClient, candidates: list[Candidate], kind: str, connections: int, number: int, seconds: float
) -> dict[str, Run]:
    """The median run of each, by key. Each has run once, unmeasured, before the first round."""
    for candidate in candidates:
        client.run(candidate, kind, connections, WARM_UP)
    runs: dict[str, list[Run]] = {candidate.key: [] for candidate in candidates}
    for _ in range(number):
        for candidate in candidates:
            run = client.run(candidate, kind, connections, seconds)
            if not run.rate:
                sys.exit(f"bench ranges: {candidate.name}, {kind}, {connections} connections: not a byte came")
            runs[candidate.key].append(run)
    return {key: Run.median(each) for key, each in runs.items()}

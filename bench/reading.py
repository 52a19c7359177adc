"""Many readers of one topic, in a process of their own on this core: bench/readers.c, built and spoken to."""

import json
import resource
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.system.harness import ROOT

CONNECTING = 100  # at a time
PATIENCE = 120.0  # seconds
DESCRIPTORS = 40_000  # this server takes one client for every four


@dataclass(frozen=True)
class Read:
    """`lost`: events that readers missed without being told; `told`: those that a gap told of; `ended`: connections;
    delays in milliseconds; `client`: the share of its core that the client used."""

    events: int
    lost: int
    told: int
    repeats: int
    ended: int
    bytes: int
    reads: int
    p50: float
    p99: float
    client: float


def build(folder: Path) -> Path:
    """And let this process, and whatever it starts, have as many connections as there may be readers."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(hard, DESCRIPTORS), max(hard, DESCRIPTORS)))
    except (ValueError, OSError):  # who is not root may only have what is allowed
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    program = folder / "readers"
    subprocess.run(["gcc", "-O2", "-o", program, ROOT / "bench/readers.c"], check=True)
    return program


class Readers:
    """`seconds`: until all were connected and answered."""

    def __init__(self, program: Path, way: str, port: int, path: str, count: int) -> None:
        argv = [program, way, str(port), path, str(count), str(CONNECTING)]
        self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.seconds = float(self._said()["seconds"])

    def _said(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            sys.exit("bench feeds: the readers were refused, see above")
        said: dict[str, Any] = json.loads(line)
        return said

    def finish(self, published: int) -> Read:
        """When all have all, or nothing comes any more."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{published}\n")
        self._process.stdin.flush()
        said = self._said()
        return Read(client=said.pop("busy"), **said)

    def __enter__(self) -> "Readers":
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None) -> None:
        self._process.terminate()
        self._process.communicate(timeout=PATIENCE)

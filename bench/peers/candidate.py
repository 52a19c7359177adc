"""One server among the candidates: where it listens, what is asked of it, and what it has used so far.

Every server has core 0 to itself while it is measured: all are started before the first round and are idle
until it is their turn.
"""

import os
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.system.harness import ROOT, wait_until

PINNED = ("taskset", "-c", "0")


class LeftOut(Exception):
    """The server is not there to be measured; the text says why."""


@dataclass
class Candidate:
    """`headers` is called before each run, for what must be fresh; `every_different` gives each request one of its
    own, so that nothing remembered of a request's head is of use."""

    key: str
    name: str
    port: int
    path: str
    process: psutil.Process
    version: str = ""
    headers: Callable[[], dict[str, str]] = dict
    every_different: bool = False

    def processes(self) -> list[psutil.Process]:
        return [self.process, *self.process.children(recursive=True)]

    def cpu(self) -> float:
        """Seconds of processor time so far, of all its processes."""
        return sum(processor_time(process.pid) for process in self.processes())

    def runnable(self) -> bool:
        """Whether a thread of it has a core or waits for one."""
        stats = [stat for process in self.processes() for stat in Path(f"/proc/{process.pid}/task").glob("*/stat")]
        return any(stat.read_text().rpartition(") ")[2].startswith("R") for stat in stats)

    def user_memory(self) -> int:
        """Bytes that belong to its processes alone."""
        return sum(process.memory_full_info().uss for process in self.processes())


@contextmanager
def running(
    key: str, name: str, version: str, argv: list[str], port: int, path: str = "/file.mp4", **environment: str
) -> Iterator[list[Candidate]]:
    env = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    null = subprocess.DEVNULL
    process = subprocess.Popen([*PINNED, *argv], cwd=ROOT, env=env, stdin=null, stdout=null, stderr=null)
    try:
        wait_until(lambda: answers(process, port, path), 30, f"{name} to answer")
        yield [Candidate(key, name, port, path, psutil.Process(process.pid), version)]
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            for each in [*psutil.Process(process.pid).children(recursive=True), process]:
                each.kill()
            process.wait()


def processor_time(pid: int) -> float:
    """By the process's own clock (clock_getcpuclockid(3)), as /proc counts in hundredths of a second."""
    try:
        return time.clock_gettime(~pid << 3 | 2)
    except OSError:  # it has ended
        return 0.0


def answers(process: subprocess.Popen[bytes], port: int, path: str) -> bool:
    assert process.poll() is None, f"it ended with status {process.returncode}"
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"Range": "bytes=0-0"})
    try:
        with urllib.request.urlopen(request, timeout=2) as answer:
            return bool(answer.status in (200, 206))
    except OSError:
        return False


def version_of(*argv: str) -> str:
    """What a program says its version is: the first word of its answer with a digit and a dot."""
    said = subprocess.run(argv, capture_output=True, text=True, check=True)
    words = (said.stdout + said.stderr).replace("/", " ").split()
    return next(word for word in words if "." in word and any(letter.isdigit() for letter in word))


def program(name: str, *folders: Path) -> str:
    """The path of a program that may be missing."""
    for folder in [*folders, *map(Path, os.environ["PATH"].split(":")), Path("/usr/sbin")]:
        if os.access(folder / name, os.X_OK):
            return str(folder / name)
    raise LeftOut(f"{name} is not installed")

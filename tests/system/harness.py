"""The real server, started by its real command in a data folder of its own, and looked at from outside."""

import json
import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "correct horse battery"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Callable[[], Any], seconds: float, what: str) -> float:
    """Poll until `condition` holds; returns the seconds it took. Fails with `what` when they are over."""
    started = time.monotonic()
    while not condition():
        if time.monotonic() - started > seconds:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.005)
    return time.monotonic() - started


def tells_its_version(process: psutil.Process) -> bool:
    try:
        return process.cmdline()[-1:] == ["-version"]
    except psutil.Error:  # a zombie has no command line any more
        return False


@dataclass
class Server:
    """A running `script/server`. `process` is the command itself, which becomes gunicorn's arbiter."""

    process: subprocess.Popen[bytes]
    port: int
    data_dir: Path
    log: Path
    opened: list[socket.socket] = field(default_factory=list)

    @classmethod
    def start(cls, data_dir: Path, prefix: tuple[str, ...] = (), **environment: str) -> "Server":
        port = free_port()
        log = data_dir.parent / f"{data_dir.name}.log"
        env = {
            **os.environ,
            "PORT": str(port),
            "MEDIASTREAM_DATA_DIR": str(data_dir),
            "MEDIASTREAM_ADMIN_PASSWORD": PASSWORD,
            **environment,
        }
        with log.open("ab") as output:
            process = subprocess.Popen(
                [*prefix, ROOT / "script" / "server"],
                cwd=ROOT,
                env=env,
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
            )
        server = cls(process, port, data_dir, log)
        try:
            wait_until(server.answers, 120, "the server to answer")
        except BaseException:
            process.kill()
            process.wait()
            raise
        return server

    def answers(self) -> bool:
        assert self.process.poll() is None, f"the server ended: {self.log.read_text()[-2000:]}"
        try:
            with urllib.request.urlopen(self.url("/healthz/ready"), timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def connect(self, timeout: float = 20.0) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=timeout)

    def open(self, path: str) -> socket.socket:
        """A connection that has asked for `path`; closed with the server if not before."""
        connection = self.connect()
        self.opened.append(connection)
        connection.sendall(request(path))
        return connection

    def close_opened(self) -> None:
        while self.opened:
            self.opened.pop().close()

    def manage(self, *arguments: str) -> str:
        env = {**os.environ, "MEDIASTREAM_DATA_DIR": str(self.data_dir)}
        finished = subprocess.run(
            [ROOT / ".venv/bin/python", ROOT / "manage.py", *arguments], env=env, capture_output=True, text=True
        )
        assert finished.returncode == 0, finished.stderr
        return finished.stdout

    def add_media(self, *arguments: str | Path) -> dict[str, str]:
        added: dict[str, str] = json.loads(self.manage("add_media", "--visibility", "public", *map(str, arguments)))
        return added

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def workers(self) -> list[psutil.Process]:
        """The oldest first: while one hands over to the next there are two."""
        return sorted(psutil.Process(self.process.pid).children(), key=lambda worker: worker.create_time())

    def worker(self) -> psutil.Process:
        return self.workers()[0]

    def ffmpegs(self) -> list[psutil.Process]:
        """Children of the worker that are FFmpeg, or still on their way to it; zombies count. Without the job
        worker and what is below it, and an FFmpeg that is asked for its version, as one is at the start."""
        below = self.worker().children(recursive=True)
        jobs = {process.pid for process in self.job_processes()}
        return [process for process in below if process.pid not in jobs and not tells_its_version(process)]

    def job_processes(self) -> list[psutil.Process]:
        """The job worker first, then what it has forked and started."""
        return sorted(filter(of_job_worker, self.children()), key=lambda process: process.create_time())

    def descriptors(self) -> int:
        """Open ones of the worker, but for the database's, which each of its threads keeps open for a while."""
        count = 0
        for entry in Path(f"/proc/{self.worker().pid}/fd").iterdir():
            with suppress(FileNotFoundError):
                count += "sqlite3" not in os.readlink(entry)
        return count

    def stop(self, number: int = signal.SIGTERM, seconds: float = 20.0) -> float:
        """Send the signal; returns the seconds until the server and all its children were gone."""
        children = self.children()
        started = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(seconds)
        _gone, alive = psutil.wait_procs(children, timeout=seconds)
        assert not alive, alive
        return time.monotonic() - started


def command(process: psutil.Process) -> list[str]:
    """Its arguments; none once it has ended, reaped or not."""
    try:
        return list(process.cmdline())
    except psutil.NoSuchProcess:  # a zombie's error is one of these, too
        return []


def of_job_worker(process: psutil.Process) -> bool:
    """Whether it is one of the job worker's, whose forks keep its name, or an FFmpeg that one of these has started."""
    with suppress(psutil.NoSuchProcess):
        parent = process.parent()
        return any("job_worker" in command(each) for each in (process, parent) if each is not None)
    return False


def share_of_a_core(process: psutil.Process, seconds: float) -> float:
    """Processor time it used while we waited that long, as a share of one core's."""
    before, started = process.cpu_times(), time.monotonic()
    time.sleep(seconds)
    after = process.cpu_times()
    return (after.user - before.user + after.system - before.system) / (time.monotonic() - started)


def request(path: str, *headers: str, method: str = "GET") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: localhost", *headers, "", ""]).encode()


def read_head(connection: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """Status, headers (lower case) and what of the body came with them."""
    received = b""
    while b"\r\n\r\n" not in received:
        chunk = connection.recv(4096)
        assert chunk, f"closed after {received!r}"
        received += chunk
    head, _, rest = received.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return int(status.split()[1]), headers, rest


def reset(connection: socket.socket) -> None:
    """Close with a RST, as a client that crashes does."""
    import struct

    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()

"""The servers that docs/servers.md names, run by the commands it gives, and what each cannot do."""

import os
import re
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.system.harness import ROOT, Server, free_port, of_job_worker, wait_until

GUIDE = ROOT / "docs" / "servers.md"

HANGS = "it leaves the connection open when the application fails"
NO_PROXY = "it passes X-Forwarded-Proto over"
UNFRAMED = "it sends no chunks, so that the end of the connection is the end of the stream"
ENDS = "it ends the chunks in order when the application fails"
A_THREAD = "a thread for each viewer"


@dataclass(frozen=True)
class Kind:
    """One server. `cannot`: what it cannot do, by the columns of the guide's table, and why."""

    name: str
    cannot: Mapping[str, str] = field(default_factory=dict)

    def can(self, what: str) -> bool:
        assert what in COLUMNS
        return what not in self.cannot

    def command(self, port: int) -> list[str]:
        """As the guide has it, on another port; a wait of its own that hasty.py cannot reach is made short too."""
        section = re.search(rf"^### {re.escape(self.name)}\n(.*?)(?=^##|\Z)", GUIDE.read_text(), re.M | re.S)
        assert section is not None, f"{GUIDE.name} has no section {self.name}"
        block = re.search(r"(?:^    .+\n)+", section[1], re.M)
        assert block is not None, f"{GUIDE.name} has no command for {self.name}"
        text = block[0].replace("\\\n", " ").replace("8000", str(port))
        words = text.replace("--socket-timeout 60", "--socket-timeout 3").split()
        return [str(ROOT / words[0]), *words[1:]]


COLUMNS = {
    "at once": "as many viewers as there are descriptors",
    "paused": "a viewer who pauses takes no memory",
    "given up": "a viewer who takes no byte is disconnected after a minute",
    "cut": "a stream that breaks off does not look like one that has ended",
    "stop": "cameras and transcodes end at once when the server is asked to stop",
    "early 413": "a body that is too large is refused before it is sent",
    "reuse": "a connection is used again",
    "https": "X-Forwarded-Proto is believed of a proxy on the same machine",
}

KINDS = (
    Kind("mediastream's own"),
    Kind("gunicorn's asgi worker"),
    Kind("uvicorn"),
    Kind("hypercorn", {"https": NO_PROXY}),
    Kind("daphne", {
        "paused": "it takes what the application gives, however slowly the client reads",
        "given up": "the application never waits for the client",
        "cut": HANGS,
        "early 413": "it reads the whole body first",
        "https": NO_PROXY,
    }),
    Kind("granian", {"https": NO_PROXY}),
    Kind("gunicorn gthread", {"at once": A_THREAD}),
    Kind("uWSGI", {
        "at once": A_THREAD,
        "cut": UNFRAMED,
        "reuse": "its own HTTP keeps no connection",
    }),
    Kind("granian, WSGI", {
        "at once": A_THREAD,
        "given up": "it sets no deadline and lends no socket",
        "cut": ENDS,
        "stop": "it installs its signal handlers after it has loaded the application, and waits for its streams",
        "https": NO_PROXY,
    }),
    Kind("manage.py runserver", {
        "given up": "it sets no deadline and lends no socket",
        "cut": UNFRAMED,
        "reuse": "it is made to close after each stream, as it does not after one that broke off",
        "https": NO_PROXY,
    }),
)  # fmt: skip


@dataclass
class Running(Server):
    """One of them, running, with its waits made short (hasty.py)."""

    kind: Kind = KINDS[0]

    @classmethod
    def run(cls, kind: Kind, data_dir: Path, log: Path, **environment: str) -> "Running":
        port = free_port()
        env = {
            **os.environ,
            "PORT": str(port),
            "MEDIASTREAM_DATA_DIR": str(data_dir),
            "DJANGO_SETTINGS_MODULE": "tests.system.hasty",
            "PYTHONPATH": str(ROOT),
            "MEDIASTREAM_TRUSTED_PROXIES": "127.0.0.1",
            "PYTHONUNBUFFERED": "1",
            **environment,
        }
        with log.open("ab") as output:
            process = subprocess.Popen(
                kind.command(port), cwd=ROOT, env=env, stdout=output, stderr=output, stdin=subprocess.DEVNULL
            )
        running = cls(process, port, data_dir, log, kind=kind)
        wait_until(running.answers, 60, f"{kind.name} to answer")
        return running

    def processes(self) -> list[psutil.Process]:
        return [psutil.Process(self.process.pid), *self.children()]

    def ffmpegs(self) -> list[psutil.Process]:
        """Of a transcode or a camera, or still on their way to it; zombies count."""
        return [process for process in self.children() if "ffmpeg" in _command(process) and not of_job_worker(process)]

    def memory(self) -> int:
        """Bytes resident, all FFmpegs and the job worker left out."""
        total = 0
        for process in set(self.processes()) - set(self.ffmpegs()) - set(self.job_processes()):
            with suppress(psutil.NoSuchProcess):
                total += process.memory_info().rss
        return total

    def kill(self) -> None:
        """Leave nothing behind, whatever state it is in."""
        for process in self.processes() if self.process.poll() is None else []:
            process.kill()
        self.process.wait()


def _command(process: psutil.Process) -> str:
    with suppress(psutil.NoSuchProcess):
        try:
            return " ".join(process.cmdline())
        except psutil.ZombieProcess:
            return process.name()
    return ""

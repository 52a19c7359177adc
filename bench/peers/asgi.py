"""Plain Django (stock.py) under the ASGI servers: one process each, uvloop, no access log.

uvicorn parses with httptools, which is its faster parser. Hypercorn would end a connection after a thousand
requests, and takes a hundred at a time; only a file of settings can change the first.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path

from bench.peers.candidate import Candidate, program, running
from tests.system.harness import ROOT, free_port

APPLICATION = "bench.peers.stock:application"
HYPERCORN = 'worker_class = "uvloop"\nbacklog = 2048\nkeep_alive_max_requests = 1000000000\nloglevel = "ERROR"\n'


def uvicorn(port: int, folder: Path) -> list[str]:
    quiet = ["--no-access-log", "--log-level", "error"]
    return ["--port", str(port), "--loop", "uvloop", "--http", "httptools", *quiet, APPLICATION]


def granian(port: int, folder: Path) -> list[str]:
    one = ["--workers", "1", "--runtime-threads", "1", "--http", "1", "--no-ws"]
    return ["--interface", "asgi", "--port", str(port), "--loop", "uvloop", *one, "--log-level", "error", APPLICATION]


def hypercorn(port: int, folder: Path) -> list[str]:
    settings = folder / "hypercorn.toml"
    settings.write_text(HYPERCORN)
    return ["-c", str(settings), "-b", f"127.0.0.1:{port}", APPLICATION]


def gunicorn(port: int, folder: Path) -> list[str]:
    return ["-k", "asgi", "-b", f"127.0.0.1:{port}", "--asgi-loop", "uvloop", "--no-control-socket", APPLICATION]


@contextmanager
def start(arguments: Callable[[int, Path], list[str]], folder: Path, film: Path) -> Iterator[list[Candidate]]:
    name = arguments.__name__
    command, port = program(name, ROOT / ".venv/bin"), free_port()
    label = "plain Django, gunicorn asgi" if name == "gunicorn" else f"plain Django, {name}"
    with running(
        name, label, version(name), [command, *arguments(port, folder)], port, STOCK_FILE=str(film)
    ) as candidates:
        yield candidates


STARTS: dict[str, Callable[[Path, Path], AbstractContextManager[list[Candidate]]]] = {
    server.__name__: partial(start, server) for server in (uvicorn, granian, hypercorn, gunicorn)
}

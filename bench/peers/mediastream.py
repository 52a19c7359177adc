"""This server, by its real command: a public item, a private one, requests that are all different, and by chunks.

The first three are one server that is asked differently. A public item is answered by grants (mediastream/grants.py),
and so is a private one, to whoever carries a ticket; a header that changes with each request leaves nothing to
remember, so each goes the whole way.
"""

import http.cookiejar
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from bench.peers.candidate import PINNED, Candidate
from tests.system.harness import PASSWORD, Server


@contextmanager
def start(folder: Path, film: Path) -> Iterator[list[Candidate]]:
    server = Server.start(folder / "data", prefix=PINNED)
    try:
        public, private = server.add_media(film)["file"], server.add_media(film, "--visibility", "private")
        cookie = ticket(server, private["watch"])
        process = psutil.Process(server.process.pid)
        yield [
            Candidate("mediastream", "mediastream", server.port, public, process),
            Candidate(
                "private",
                "mediastream, private by ticket",
                server.port,
                private["file"],
                process,
                headers=lambda: {"Cookie": cookie},
            ),
            Candidate(
                "different", "mediastream, every request different", server.port, public, process, every_different=True
            ),
        ]
    finally:
        server.stop()


@contextmanager
def start_chunks(folder: Path, film: Path) -> Iterator[list[Candidate]]:
    worker = {"GUNICORN_CMD_ARGS": "--worker-class bench.peers.chunks.ChunksWorker"}
    server = Server.start(folder / "data-chunks", prefix=PINNED, **worker)
    try:
        path = server.add_media(film)["file"]
        yield [Candidate("chunks", "mediastream by chunks", server.port, path, psutil.Process(server.process.pid))]
    finally:
        server.stop()


def ticket(server: Server, page: str) -> str:
    """What the administrator's browser carries once it has opened a player's page: the value of a Cookie header."""
    jar = http.cookiejar.CookieJar()
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
    login = server.url("/accounts/login/")
    opener.open(login).close()
    token = next(cookie.value for cookie in jar if cookie.name == "csrftoken") or ""
    form = {"csrfmiddlewaretoken": token, "username": "admin", "password": PASSWORD, "next": "/"}
    opener.open(login, urllib.parse.urlencode(form).encode()).close()
    opener.open(server.url(page)).close()
    return next(f"{cookie.name}={cookie.value}" for cookie in jar if cookie.name == "ticket")

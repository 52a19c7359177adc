"""A right that is taken away from a reader or a page that has paused, so that what is sent to it waits."""

import json
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.system.harness import wait_until
from tests.system.servers import KINDS, Running
from tests.system.visiting import Shell, Viewer
from tests.system.websocket import BINARY, CLOSE, WebSocket

pytestmark = pytest.mark.system
SOON = 4.0  # seconds; it takes less than one, but the tests' machine may have other things to do
OWN, UVICORN = (next(kind for kind in KINDS if kind.name == name) for name in ("mediastream's own", "uvicorn"))

MAKE = """
Topic.objects.create(name="guarded", visibility="members", history=500)
Camera.objects.create(slug="guarded", name="Guarded", visibility="members", source="test-pattern", fps=30)
"""
MUCH = """
from mediastream.feeds.hub import Event, publish
for number in range(100):
    publish("guarded", Event("x" * 100_000))
"""


@pytest.fixture(scope="module")
def folder(seeded: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shutil.copytree(seeded, tmp_path_factory.mktemp("revoked") / "data")


@pytest.fixture(scope="module")
def shell(folder: Path) -> Iterator[Shell]:
    made = Shell(folder)
    made.run(MAKE)
    yield made
    made.close()


@pytest.fixture(scope="module", params=[OWN, UVICORN], ids=lambda kind: kind.name)
def running(request: pytest.FixtureRequest, folder: Path) -> Iterator[Running]:
    started = Running.run(request.param, folder, folder.parent / f"{request.param.name}.log")
    yield started
    started.kill()


def ends(running: Running, since: int) -> dict[str, str]:
    """Why each stream of the topic ended, by kind, as the log has it past so many characters."""
    said = running.log.read_text()[since:].splitlines()
    lines = [line for line in said if "stream ended" in line and "=guarded" in line]
    return {line.partition("kind=")[2].partition(" item=")[0]: line.rpartition("reason=")[2] for line in lines}


def test_one_who_has_paused_is_ended(running: Running, shell: Shell) -> None:
    """Our own server takes back what it holds. uvicorn keeps that, and the connection until its reader has taken it;
    but nothing of ours waits for that, so the closing frame is missing."""
    user, session = shell.user()
    since = len(running.log.read_text())
    cookie = f"Cookie: sessionid={session}"
    with ExitStack() as opened:
        reader = opened.enter_context(Viewer(running.port, "/feeds/guarded/events", cookie, paused=True))
        assert reader.status == 200
        socket_ = opened.enter_context(WebSocket(running, "/ws/feeds/guarded/", cookie))
        socket_.receive()
        shell.run(MUCH)
        time.sleep(0.5)
        assert not ends(running, since)
        shell.run(f"User.objects.filter(pk={user}).update(is_active=False)")
        wait_until(lambda: len(ends(running, since)) == 2, SOON, "the ends of both")
        assert set(ends(running, since).values()) == {"revoked"}
        if running.kind is OWN:
            wait_until(lambda: reader.ended and ended(socket_.connection), SOON, "the ends of both connections")
        else:
            time.sleep(2)  # twice what the closing frame waits
            assert CLOSE not in read_on(socket_)


def test_a_wall_that_has_paused_lets_go_of_the_camera(running: Running, shell: Shell) -> None:
    user, session = shell.user()
    since = len(running.log.read_text())
    with WebSocket(running, "/ws/live/", f"Cookie: sessionid={session}") as page:
        page.connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        page.send(json.dumps({"show": {"guarded": {}}}))
        while page.receive()[0] != BINARY:
            pass
        time.sleep(3)  # until its socket is full
        assert not ends(running, since)
        shell.run(f"User.objects.filter(pk={user}).update(is_active=False)")
        wait_until(lambda: ends(running, since) == {"wall": "revoked"}, SOON, "the end of the camera's stream")
        wait_until(lambda: not running.ffmpegs(), 2 * SOON, "the end of the camera")


def ended(connection: socket.socket) -> bool:
    """Whether a reader who has paused knows of an end by the server."""
    return connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != 1  # TCP_ESTABLISHED


def read_on(reader: WebSocket) -> set[int]:
    """The opcodes of what is left."""
    found: set[int] = set()
    try:
        while True:
            found.add(reader.receive()[0])
    except (EOFError, ConnectionError):
        return found

"""Feeds through nginx as Debian has it, set up by somebody who has read nothing of ours: defaults, which buffer."""

import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.decoding import Decoder
from tests.system import proxies
from tests.system.harness import Server, read_head, request, wait_until
from tests.system.proxies import NO_CERTIFICATE, Proxy
from tests.system.servers import KINDS, Running
from tests.system.test_feeds import MAKE, Reader, publish
from tests.system.visiting import Shell
from tests.system.websocket import TEXT, WebSocket

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(proxies.missing("nginx") is not None, reason=str(proxies.missing("nginx"))),
]

SOON = 5.0  # seconds; the next heartbeat comes after fifteen, and what fills a buffer of 4 KB never
GTHREAD = next(kind for kind in KINDS if kind.name == "gunicorn gthread")


@dataclass
class Proxied(Server):
    """The server as it is found behind nginx."""

    def connect(self, timeout: float = SOON) -> socket.socket:
        return super().connect(SOON)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Not below pytest's own, which nobody but its user may enter."""
    with tempfile.TemporaryDirectory(prefix="mediastream-feeds-") as made:
        Path(made).chmod(0o711)
        yield Path(made)


def before(server: Server, folder: Path) -> tuple[Proxy, Proxied]:
    site = proxies.new_site(folder, NO_CERTIFICATE, server.port, server.data_dir / "media")
    proxy = proxies.plain_nginx(site)
    return proxy, Proxied(server.process, site.port, server.data_dir, server.log)


@pytest.fixture(scope="module")
def server(seeded: Path, folder: Path) -> Iterator[Server]:
    server = Server.start(shutil.copytree(seeded, folder / "data"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def tokens(shell: Shell) -> dict[str, str]:
    return dict(shell.run(MAKE))


@pytest.fixture(scope="module")
def proxied(server: Server, folder: Path) -> Iterator[Proxied]:
    proxy, proxied = before(server, folder / "nginx")
    yield proxied
    proxy.stop()


class Pieces:
    """The body of an answer in chunks, as it comes; decompressed as it comes, too."""

    def __init__(self, connection: socket.socket, headers: dict[str, str], received: bytes) -> None:
        assert headers["transfer-encoding"] == "chunked"
        self._connection = connection
        self._rest = received
        self._decoded = Decoder(headers.get("content-encoding")).feed

    def next(self) -> bytes:
        while (head := self._rest.partition(b"\r\n"))[1] != b"\r\n" or len(head[2]) < int(head[0], 16) + 2:
            received = self._connection.recv(65536)
            assert received, "cut"
            self._rest += received
        size = int(head[0], 16)
        self._rest = head[2][size + 2 :]
        return self._decoded(head[2][:size])


@pytest.mark.parametrize("coding", [None, "gzip", "zstd"])
@pytest.mark.parametrize("path", ["events", "stream", "stream?format=text"])
def test_an_event_is_not_held_back(
    server: Server, proxied: Proxied, tokens: dict[str, str], path: str, coding: str | None
) -> None:
    headers = (f"Accept-Encoding: {coding}",) if coding is not None else ()
    with closing(proxied.connect()) as connection:
        connection.sendall(request(f"/feeds/news/{path}", *headers))
        status, answered, received = read_head(connection)
        assert (status, answered.get("content-encoding")) == (200, coding)
        pieces, said = Pieces(connection, answered, received), b""
        while not said:
            said += pieces.next()
        publish(server, "news", tokens["news"], "good morning")
        while b"good morning" not in said:
            said += pieces.next()


def test_a_web_socket(server: Server, proxied: Proxied, tokens: dict[str, str]) -> None:
    with WebSocket(proxied, "/ws/feeds/news/") as opened:
        assert b'"open"' in opened.receive()[1]
        publish(server, "news", tokens["news"], "good morning")
        opcode, message = opened.receive()
        assert opcode == TEXT
        assert b"good morning" in message


def test_who_comes_again_misses_nothing_that_is_held(server: Server, proxied: Proxied, tokens: dict[str, str]) -> None:
    with Reader(proxied, "/feeds/news/events") as reader:
        reader.more()
        publish(server, "news", tokens["news"], 1)
        last = reader.until(1)[-1].last_id
    for number in (2, 3):
        publish(server, "news", tokens["news"], number)
    with Reader(proxied, "/feeds/news/events", f"Last-Event-ID: {last}") as reader:
        assert [message.data for message in reader.until(2)] == ["2", "3"]
        last = reader.messages[-1].last_id
    worker = server.worker()
    server.process.send_signal(1)  # HUP: a new worker, which holds nothing of before
    wait_until(lambda: not worker.is_running(), 30, "the worker to be replaced")
    with Reader(proxied, "/feeds/news/events", f"Last-Event-ID: {last}") as reader:
        assert reader.until(1)[0].event == "reset"
        publish(server, "news", tokens["news"], 4)
        assert reader.until(2)[-1].data == "4"


@pytest.mark.browser
def test_the_page_in_a_browser(proxied: Proxied, page: Page) -> None:
    """By EventSource, fetch and WebSocket."""
    page.goto(proxied.url("/feeds/"))
    for way in ("events", "stream", "socket"):
        page.check(f"input[value={way}]")
        expect(page.locator("#state")).to_have_text("live", timeout=30_000)
        expect(page.locator("#latest tbody tr")).to_have_count(6, timeout=30_000)


def test_a_wsgi_server_behind_it(seeded: Path, folder: Path, tmp_path: Path) -> None:
    data_dir = shutil.copytree(seeded, tmp_path / "data", ignore=shutil.ignore_patterns("*.sock"))
    running = Running.run(GTHREAD, data_dir, tmp_path / "log")
    shell, proxy = Shell(data_dir), None
    try:
        token = shell.run(MAKE)["news"]
        proxy, proxied = before(running, folder / f"nginx-{running.port}")
        with Reader(proxied, "/feeds/news/events") as reader:
            reader.more()
            publish(running, "news", token, 1)
            last = reader.until(1)[-1].last_id
        publish(running, "news", token, 2)
        with Reader(proxied, "/feeds/news/events", f"Last-Event-ID: {last}") as reader:
            assert reader.until(1)[0].data == "2"
    finally:
        if proxy is not None:
            proxy.stop()
        shell.close()
        running.kill()

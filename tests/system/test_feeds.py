"""Feeds over the real server: by hand, from other processes, and in Chromium."""

import json
import re
import shutil
import socket
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from mediastream.environment import ROOT
from mediastream.http.sse import Message, Parser
from tests.system.harness import Server, read_head, request, wait_until
from tests.system.visiting import Shell
from tests.system.websocket import CLOSE, PING, PONG, TEXT, Refused, WebSocket

pytestmark = pytest.mark.system

MAKE = """
from mediastream.feeds.known import known
Topic.objects.create(name="news", visibility="public", history=500)
Topic.objects.create(name="hidden", visibility="private")
Topic.objects.create(name="a ü?#%", visibility="public")
Topic.objects.create(name="strict", visibility="public", policy="disconnect", history=20)
result = {row.name: known(row).token for row in Topic.objects.all()}
"""


@pytest.fixture(scope="module")
def server(seeded: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server.start(shutil.copytree(seeded, tmp_path_factory.mktemp("feeds") / "data"))
    yield server
    server.stop()


@pytest.fixture(scope="module", autouse=True)
def tokens(shell: Shell) -> dict[str, str]:
    return dict(shell.run(MAKE))


def publish(server: Server, topic: str, token: str, data: Any, query: str = "") -> str:
    body = data if isinstance(data, bytes) else json.dumps(data).encode()
    headers = {"Authorization": f"Bearer {token}"}
    asked = urllib.request.Request(server.url(f"/feeds/{topic}/publish{query}"), body, headers)
    with urllib.request.urlopen(asked, timeout=20) as answer:
        return str(json.load(answer)["id"])


class Reader:
    """An event stream as it comes."""

    def __init__(self, server: Server, path: str, *headers: str) -> None:
        self.connection = server.connect(30)
        self.connection.sendall(request(path, *headers))
        self.status, self.headers, self._rest = read_head(self.connection)
        self.parser = Parser()
        self.messages: list[Message] = []
        self.ended = False

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def more(self) -> None:
        """Chunks, whole, into messages."""
        while (head := self._rest.partition(b"\r\n"))[1] != b"\r\n" or len(head[2]) < int(head[0], 16) + 2:
            received = self.connection.recv(65536)
            assert received, "cut"
            self._rest += received
        size = int(head[0], 16)
        self.ended = size == 0
        self.messages += self.parser.feed(head[2][:size])
        self._rest = head[2][size + 2 :]

    def until(self, count: int) -> list[Message]:
        while len(self.messages) < count:
            self.more()
        return self.messages


def test_the_market_is_there_and_says_that_it_is_simulated(server: Server) -> None:
    with Reader(server, "/feeds/market/events?symbols=ACME,INIT") as reader:
        messages = reader.until(4)
        assert reader.headers["content-type"] == "text/event-stream"
        assert reader.headers["cache-control"] == "no-cache"
        assert reader.headers["x-accel-buffering"] == "no"
        assert reader.headers["transfer-encoding"] == "chunked"
        assert reader.parser.retry
    ticks = [json.loads(message.data) for message in messages]
    assert {tick["symbol"] for tick in ticks} <= {"ACME", "INIT"}
    assert all(tick["simulated"] for tick in ticks)


def test_one_event_three_ways_out(server: Server, tokens: dict[str, str]) -> None:
    said = {"line": "a\nb\u2028c"}
    with (
        Reader(server, "/feeds/news/events") as events,
        closing(server.connect()) as lines,
        WebSocket(server, "/ws/feeds/news/") as sockets,
    ):
        events.more()
        lines.sendall(request("/feeds/news/stream"))
        received = b"".join(read_head(lines)[::2][1:])
        assert sockets.receive()[0] == TEXT
        while b"open" not in received:
            received += lines.recv(4096)
        cursor = publish(server, "news", tokens["news"], said, "?event=note&key=k")
        assert events.until(1) == [Message(json.dumps(said, separators=(",", ":"), ensure_ascii=False)
            .replace("\u2028", "\\u2028"), "note", cursor)]  # fmt: skip
        _, payload = sockets.receive()
        while cursor.encode() not in received[:-3]:
            received += lines.recv(4096)
        message = json.loads(payload)
        assert (message["id"], message["event"], message["key"], message["data"]) == (cursor, "note", "k", said)
        assert json.loads(received.split(b"\r\n")[-2]) == message


def test_plain_lines(server: Server, tokens: dict[str, str]) -> None:
    with closing(server.connect()) as connection:
        connection.sendall(request("/feeds/news/stream?format=text"))
        _, headers, received = read_head(connection)
        assert headers["content-type"] == "text/plain; charset=utf-8"
        while b"# open" not in received:
            received += connection.recv(4096)
        publish(server, "news", tokens["news"], "good morning")
        while b"good morning\n" not in received:
            received += connection.recv(4096)


@pytest.mark.parametrize("by", ["header", "query"])
def test_resuming(server: Server, tokens: dict[str, str], by: str) -> None:
    first = publish(server, "news", tokens["news"], 1)
    publish(server, "news", tokens["news"], 2)
    header = [f"Last-Event-ID: {first}"] if by == "header" else []
    with Reader(server, f"/feeds/news/events{'' if header else f'?after={first}'}", *header) as reader:
        assert reader.until(1)[0].data == "2"
        publish(server, "news", tokens["news"], 3)
        assert [message.data for message in reader.until(2)] == ["2", "3"]


@pytest.mark.parametrize("last", ["nonsense", "0123abcd:7", "%00", "é", "x" * 3000])
def test_a_malformed_last_id_is_reset_not_refused(server: Server, last: str) -> None:
    with Reader(server, "/feeds/news/events", f"Last-Event-ID: {last}") as reader:
        assert reader.status == 200
        assert reader.until(1)[0].event == "reset"


@pytest.mark.parametrize("query", ["after=x", "after=", "symbols=,", "format=xml", "after=oldest&after=oldest"])
def test_a_query_without_meaning(server: Server, query: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as refusal:
        urllib.request.urlopen(server.url(f"/feeds/news/stream?{query}"), timeout=20)
    with refusal.value:
        assert refusal.value.code == 400


def test_a_topic_of_any_name(server: Server, tokens: dict[str, str]) -> None:
    name = "a%20%C3%BC%3F%23%25"
    with Reader(server, f"/feeds/{name}/events") as reader:
        reader.more()
        publish(server, name, tokens["a ü?#%"], "x")
        assert reader.until(1)[0].data == "x"


@pytest.mark.parametrize(
    ("body", "status"), [(b"\xff", 400), (b"x" * (1024 * 1024 + 1), 413), (json.dumps("\ud800").encode(), 400)]
)
def test_what_cannot_be_published(server: Server, tokens: dict[str, str], body: bytes, status: int) -> None:
    with pytest.raises(urllib.error.HTTPError) as refusal:
        publish(server, "news", tokens["news"], body)
    with refusal.value:
        assert refusal.value.code == status


@pytest.mark.parametrize("token", ["wrong", "é"])
def test_a_wrong_token(server: Server, tokens: dict[str, str], token: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as refusal:
        publish(server, "news", token, 1)
    with refusal.value:
        assert refusal.value.code == 403


def test_published_by_another_process(server: Server, shell: Shell, tokens: dict[str, str]) -> None:
    code = "from mediastream.feeds.hub import *; publish_on_commit('news', Event({'from': 'elsewhere'}))"
    with Reader(server, "/feeds/news/events") as reader:
        reader.more()
        shell.run(code)
        assert json.loads(reader.until(1)[0].data) == {"from": "elsewhere"}


def test_a_right_taken_away_ends_what_is_open(server: Server, shell: Shell, tokens: dict[str, str]) -> None:
    change = "t = Topic.objects.get(name='news'); t.visibility = '{}'; t.save()"
    with Reader(server, "/feeds/news/events") as reader, WebSocket(server, "/ws/feeds/news/") as socket_:
        reader.more()
        socket_.receive()
        try:
            shell.run(change.format("private"))
            with pytest.raises((ConnectionError, AssertionError)):
                reader.until(99)
            opcode, payload = socket_.receive()
            while opcode == TEXT:
                opcode, payload = socket_.receive()
            assert (opcode, struct.unpack("!H", payload[:2])[0]) == (CLOSE, 4403)
        finally:
            shell.run(change.format("public"))


@pytest.mark.parametrize(("topic", "code"), [("hidden", 4401), ("nowhere", 4404)])
def test_a_socket_one_may_not_have(server: Server, tokens: dict[str, str], topic: str, code: int) -> None:
    with WebSocket(server, f"/ws/feeds/{topic}/") as opened:
        opcode, payload = opened.receive()
        assert (opcode, struct.unpack("!H", payload[:2])[0]) == (CLOSE, code)


def test_a_socket_of_another_site_and_messages_it_does_not_take(server: Server) -> None:
    with pytest.raises(Refused, match="403"):
        WebSocket(server, "/ws/feeds/market/", origin="http://evil.example")
    for data, code in ((b"\x00", 1003), ("x" * 65537, 1009)):
        with WebSocket(server, "/ws/feeds/market/") as opened:
            opened.send(data)
            opcode, payload = opened.receive()
            while opcode == TEXT:
                opcode, payload = opened.receive()
            assert (opcode, struct.unpack("!H", payload[:2])[0]) == (CLOSE, code)


def test_one_that_never_reads_is_told_what_it_missed(server: Server, tokens: dict[str, str]) -> None:
    """And holds nobody up."""
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(("127.0.0.1", server.port))
        slow.settimeout(30)
        slow.sendall(request("/feeds/strict/events"))
        time.sleep(0.2)
        with Reader(server, "/feeds/strict/events") as quick:
            quick.more()
            for number in range(60):
                publish(server, "strict", tokens["strict"], f"{number}" + "x" * 200_000)
                quick.until(number + 1)
        received = b""
        while b"\r\n0\r\n\r\n" not in received[-64:]:
            chunk = slow.recv(1024 * 1024)
            assert chunk, received[-200:]
            received += chunk
        assert b"event: gap" in received
        assert b"retry:" in received[received.index(b"event: gap") :]


def test_a_socket_that_never_reads_is_told_what_it_missed(server: Server, tokens: dict[str, str]) -> None:
    with WebSocket(Narrow(server), "/ws/feeds/strict/") as slow:  # type: ignore[arg-type]
        assert json.loads(slow.receive()[1])["event"] == "open"
        for number in range(40):
            publish(server, "strict", tokens["strict"], f"{number}" + "x" * 200_000)
        events = []
        while (received := slow.receive())[0] == TEXT:
            events.append(json.loads(received[1])["event"])
        assert events[-1] == "gap"
        assert set(events[:-1]) == {"message"}
        assert (received[0], struct.unpack("!H", received[1][:2])[0]) == (CLOSE, 1001)


def test_pings_are_answered_amid_events(server: Server, tokens: dict[str, str]) -> None:
    """By a reader that takes nothing for a while, so that pongs and events go out in parts."""
    with WebSocket(Narrow(server), "/ws/feeds/news/") as slow:  # type: ignore[arg-type]
        assert json.loads(slow.receive()[1])["event"] == "open"
        sent = [str(number).encode() * 40 for number in range(300)]
        for number, payload in enumerate(sent):
            slow.send(payload, opcode=PING)
            publish(server, "news", tokens["news"], f"{number}" + "x" * 2_000)
        pongs, events = [], 0
        while len(pongs) < len(sent) or events < len(sent):
            opcode, payload = slow.receive()
            if opcode == PONG:
                pongs.append(payload)
            else:
                told = json.loads(payload)
                if told["event"] != "heartbeat":  # one may fall into it
                    events += told["data"]["dropped"] if told["event"] == "gap" else 1
        assert (pongs, events) == (sent, len(sent))


class Narrow:
    """Clients with hardly a buffer."""

    def __init__(self, server: Server) -> None:
        self.port = server.port

    def connect(self) -> socket.socket:
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(30)
        client.connect(("127.0.0.1", self.port))
        return client


def test_nothing_comes_after_the_close_of_a_socket(server: Server) -> None:
    """The market goes on writing; and the topic has one reader less."""
    with WebSocket(server, "/ws/feeds/market/") as opened:
        opened.receive()
        opened.send(struct.pack("!H", 1000), opcode=CLOSE)
        while (received := opened.receive())[0] == TEXT:
            pass
        assert received == (CLOSE, struct.pack("!H", 1000))
        with pytest.raises(EOFError):
            opened.receive()


def test_viewers_that_come_and_go_leave_nothing(server: Server) -> None:
    before = server.descriptors()
    for number in range(2000):
        if number % 4:
            with Reader(server, "/feeds/market/events") as reader:
                assert reader.status == 200
        else:
            WebSocket(server, "/ws/feeds/market/").connection.close()
    wait_until(lambda: server.descriptors() <= before + 2, 20, "their connections to be gone")


@pytest.mark.browser
def test_the_page_charts_the_market_by_each_way(server: Server, page: Page, tmp_path: Path) -> None:
    page.goto(server.url("/feeds/"))
    for way in ("events", "stream", "socket"):
        page.check(f"input[value={way}]")
        expect(page.locator("#state")).to_have_text("live", timeout=30_000)
        expect(page.locator("#latest tbody tr")).to_have_count(6, timeout=30_000)
        expect(page.locator("#delay")).to_contain_text("ms", timeout=30_000)
        expect(page.locator(".u-over")).to_be_visible()
    page.screenshot(path=tmp_path / "feeds.png")


@pytest.mark.browser
def test_an_event_source_goes_on_after_a_restart(server: Server, page: Page, tokens: dict[str, str]) -> None:
    """What the former process held is gone, and that is said."""
    page.goto(server.url("/healthz/live"))
    page.evaluate("""() => {
        window.said = [];
        const source = new EventSource("/feeds/news/events");
        source.onopen = () => said.push("open");
        source.onmessage = (event) => said.push(event.data);
        source.addEventListener("reset", (event) => said.push("reset"));
    }""")
    wait_until(lambda: page.evaluate("said.length"), 30, "the stream to open")
    publish(server, "news", tokens["news"], 1)
    wait_until(lambda: page.evaluate("said.at(-1)") == "1", 30, "an event")
    worker = server.worker()
    reader = Reader(server, "/feeds/news/events")
    reader.more()
    reader.parser.retry = None
    server.process.send_signal(1)  # HUP: a new worker
    with reader:
        while not reader.ended:  # cleanly, with a moment to come again
            reader.more()
    assert reader.parser.retry
    wait_until(lambda: not worker.is_running(), 30, "the worker to be replaced")
    wait_until(lambda: "reset" in page.evaluate("said"), 60, "the reset")
    publish(server, "news", tokens["news"], 2)
    wait_until(lambda: page.evaluate("said.at(-1)") == "2", 30, "the next event")
    assert page.evaluate("said") == ["open", "1", "open", "reset", "2"]


def snippets(server: Server, language: str, token: str = "") -> list[str]:
    """Of the guide, for this server."""
    text = (ROOT / "docs" / "feeds.md").read_text()
    found = re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)
    return [snippet.replace("ORIGIN", server.url("")).replace("TOKEN", token) for snippet in found]


def test_the_guides_chunked_text(server: Server) -> None:
    read, _ = snippets(server, "sh")
    with subprocess.Popen(["bash", "-c", f"exec {read}"], stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        lines = [running.stdout.readline() for _ in range(3)]
        running.kill()
    assert lines[0].startswith(b"# open")
    assert all(json.loads(line)["simulated"] for line in lines[1:])


def test_the_guides_lines(server: Server) -> None:
    read, *_ = snippets(server, "python")
    finished = subprocess.run([sys.executable, "-c", read], capture_output=True, text=True, timeout=60)
    cursor, price = finished.stdout.split()
    assert ":" in cursor
    assert float(price) > 0


def test_the_guides_ways_to_publish(server: Server, tokens: dict[str, str]) -> None:
    """To a WebSocket and over HTTP at once."""
    _, send = snippets(server, "sh", tokens["news"])
    _, code, *_ = snippets(server, "python")
    with Reader(server, "/feeds/news/events") as events, WebSocket(server, "/ws/feeds/news/") as opened:
        events.more()
        opened.receive()
        assert "id" in json.loads(subprocess.run(["bash", "-c", send], capture_output=True, check=True).stdout)
        server.manage("shell", "-c", code)
        said = [(message.event, json.loads(message.data)) for message in events.until(3)]
        wanted = [("greeting", {"said": "hello"}), ("message", {"said": "hello"}), ("stored", {"stored": 7})]
        assert said == wanted
        received = [json.loads(opened.receive()[1]) for _ in wanted]
        assert [(message["event"], message["data"]) for message in received] == wanted


@pytest.mark.browser
def test_the_guides_event_stream(server: Server, page: Page) -> None:
    (code,) = snippets(server, "js")
    page.goto(server.url("/healthz/live"))
    with page.expect_console_message() as heard:
        page.add_script_tag(content=code)
    assert float(heard.value.text) > 0

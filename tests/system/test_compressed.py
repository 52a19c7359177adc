"""Compressed feeds from the real server to those who read them: curl, aiohttp, Chromium."""

import asyncio
import json
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import aiohttp
import pytest
from playwright.sync_api import Page

from tests.system.harness import Server, read_head, request, wait_until
from tests.system.listening import Listening
from tests.system.visiting import Shell

pytestmark = pytest.mark.system

MAKE = """
from mediastream.feeds.known import known
topics = [("news", "public", True), ("bare", "public", False), ("members", "members", True)]
made = [Topic.objects.create(name=n, visibility=v, compressed=c, history=500) for n, v, c in topics]
result = known(made[0]).token
"""
TEXT = "x" * 60


@pytest.fixture(scope="module")
def server(seeded: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server.start(shutil.copytree(seeded, tmp_path_factory.mktemp("compressed") / "data"))
    yield server
    server.stop()


@pytest.fixture(scope="module", autouse=True)
def token(shell: Shell) -> str:
    return str(shell.run(MAKE))


def publish(server: Server, token: str, *numbers: int) -> None:
    for number in numbers:
        body = json.dumps({"number": number, "text": TEXT}).encode()
        asked = urllib.request.Request(server.url("/feeds/news/publish"), body, {"Authorization": f"Bearer {token}"})
        urllib.request.urlopen(asked, timeout=20).close()


def headers(server: Server, topic: str, accept: str, method: str) -> dict[str, str]:
    with server.connect() as connection:
        connection.sendall(request(f"/feeds/{topic}/stream", f"Accept-Encoding: {accept}", method=method))
        status, found, _ = read_head(connection)
    assert status == 200
    return found


@pytest.mark.parametrize(
    ("topic", "accept", "coding"),
    [
        ("news", "gzip, deflate, br, zstd", "zstd"),
        ("news", "gzip", "gzip"),
        ("news", "br", None),
        ("news", "gzip;q=nonsense", None),
        ("bare", "gzip", None),
    ],
)
def test_what_is_negotiated(server: Server, topic: str, accept: str, coding: str | None) -> None:
    got, asked = (headers(server, topic, accept, method) for method in ("GET", "HEAD"))
    assert got.get("content-encoding") == asked.get("content-encoding") == coding
    assert got["vary"] == asked["vary"] == "Accept-Encoding"
    assert "content-length" not in got


@pytest.mark.parametrize("form", ["events", "stream", "stream?format=text"])
def test_each_way_out(server: Server, token: str, form: str) -> None:
    with ExitStack() as opened:
        plain, *coded = [
            opened.enter_context(Listening(server.port, f"/feeds/news/{form}", coding))
            for coding in (None, "gzip", "zstd")
        ]
        for number in range(3):  # each has come before the next is sent
            publish(server, token, number)
            for reader in (plain, *coded):
                reader.until(f'"number":{number},'.encode())
        for reader in coded:
            assert reader.plain[reader.plain.index(b"0,") :] == plain.plain[plain.plain.index(b"0,") :]


def test_who_was_too_slow_goes_on_where_it_was(server: Server, shell: Shell, token: str) -> None:
    """With what the kernel holds, what its connection waits for, and what it has missed."""
    paths = "/feeds/news/stream?after=oldest"
    with (
        Listening(server.port, paths, "gzip", buffer=65536) as slow,
        Listening(server.port, paths, "zstd", buffer=65536) as other,
    ):
        for reader in (slow, other):
            reader.until(b"open")
        code = "import os; from mediastream.feeds.hub import *\n"
        code += "[publish('news', Event([n, os.urandom(15000).hex()])) for n in range(200)]"
        shell.run(code)
        for reader in (slow, other):
            reader.until(b'"data":[199,')
            assert [int(number) for number in re.findall(rb'"data":\[(\d+),', reader.plain)] == list(range(200))


def test_aiohttp(server: Server, token: str) -> None:
    async def read() -> None:
        asked = {"Accept-Encoding": "gzip"}
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session,
            session.get(server.url("/feeds/news/stream"), headers=asked) as answer,
        ):
            assert answer.headers["Content-Encoding"] == "gzip"
            assert b'"open"' in await answer.content.readline()
            for number in range(3):
                await asyncio.to_thread(publish, server, token, number)
                assert f'"number":{number},'.encode() in await answer.content.readline()

    with ThreadPoolExecutor(1) as thread:  # Playwright has a loop in this one
        thread.submit(asyncio.run, read()).result()


LISTEN = """async (way) => {
    const said = [];
    window[way] = said;
    if (way === "events") {
        const source = new EventSource("/feeds/news/events");
        source.onopen = () => said.push("open");
        source.onmessage = (event) => said.push(JSON.parse(event.data).number);
        return;
    }
    const answer = await fetch("/feeds/news/stream");
    said.push(answer.headers.get("Content-Encoding"));
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    (async () => {
        let text = "";
        try {
            for (let read = await reader.read(); !read.done; read = await reader.read()) {
                const lines = (text + read.value).split("\\n");
                text = lines.pop();
                for (const line of lines) {
                    const event = JSON.parse(line);
                    said.push(event.event === "message" ? event.data.number : event.event);
                }
            }
            said.push("end");
        } catch (fault) {
            said.push(String(fault));
        }
    })();
}"""


@pytest.mark.browser
@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_to_a_clean_end(server: Server, token: str, page: Page, tmp_path: Path, coding: str) -> None:
    """Each event comes at once, to who reads from the first and to who comes later; and the end is none that is cut."""
    page.set_extra_http_headers({"Accept-Encoding": coding})
    page.goto(server.url("/healthz/live"))
    for way in ("events", "lines"):
        page.evaluate(LISTEN, way)
    curl = ["curl", "-sSN", "--compressed", "-H", f"Accept-Encoding: {coding}", server.url("/feeds/news/stream")]
    output = tmp_path / "output"
    with output.open("wb") as written, subprocess.Popen(curl, stdout=written, stderr=subprocess.STDOUT) as reading:
        wait_until(lambda: b'"open"' in output.read_bytes(), 20, "the stream of curl to open")
        wait_until(lambda: page.evaluate("events.length && lines.length > 1"), 20, "those of the page to open")
        for number in range(30):
            publish(server, token, number)
            wait_until(lambda n=number: f'"number":{n},'.encode() in output.read_bytes(), 20, "an event")
            wait_until(lambda n=number: page.evaluate("events.at(-1) + lines.at(-1)") == 2 * n, 20, "an event")
        with Listening(server.port, "/feeds/news/events", coding) as late:
            publish(server, token, 30)
            late.until(b'"number":30,')
            server.process.send_signal(1)  # HUP: streams end, and a new worker comes
            assert b"retry:" in late.to_the_end().rpartition(b"data:")[2]
        assert reading.wait(20) == 0
    numbers = list(range(31))
    lines = output.read_bytes().splitlines()
    assert [json.loads(line)["data"]["number"] for line in lines[1:]] == numbers
    wait_until(lambda: page.evaluate("lines.at(-1)") == "end", 20, "the end")
    assert page.evaluate("lines") == [coding, "open", *numbers, "end"]
    wait_until(lambda: page.evaluate("events").count("open") == 2, 60, "the event source to come again")
    assert page.evaluate("events") == ["open", *numbers, "open"]

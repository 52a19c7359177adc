"""Events for bench feeds: what is in them, and how they are published by HTTP or by the server's own process.

All go over one connection, so that they keep their order; in a burst PIPELINED of them are on the way at once.
"""

import asyncio
import json
import time
import urllib.request
from contextlib import closing
from typing import Any

SIZE = 200  # bytes
PIPELINED = 32


def data(number: int) -> dict[str, Any]:
    """SIZE bytes as compact JSON; bench/readers.c reads the first two."""
    said = {"n": number, "t": round(time.time(), 6), "x": ""}
    said["x"] = "x" * (SIZE - len(compact(said)))
    return said


def compact(said: dict[str, Any]) -> str:
    return json.dumps(said, separators=(",", ":"))


def in_process(port: int, topic: str, count: int, rate: int) -> None:
    """As bench/peers/publishing_urls.py offers it."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/bench/{topic}/{count}/{rate}", timeout=120) as answer:
        assert answer.status == 200


async def by_http(port: int, path: str, headers: str, count: int, rate: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with closing(writer):
        began, sent = time.monotonic(), 0
        while sent < count:
            number = 1 if rate else min(PIPELINED, count - sent)
            if rate:
                await asyncio.sleep(began + sent / rate - time.monotonic())
            writer.write(b"".join(request(path, headers, sent + each + 1) for each in range(number)))
            for _ in range(number):
                await answered(reader)
            sent += number


def request(path: str, headers: str, number: int) -> bytes:
    body = compact(data(number))
    return f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: {len(body)}\r\n\r\n{body}".encode()


async def answered(reader: asyncio.StreamReader) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    assert head.split()[1] in (b"200", b"201", b"202"), head
    _, named, length = head.partition(b"content-length:")
    if named:
        await reader.readexactly(int(length.split()[0]))
    elif b"\r\ntransfer-encoding: chunked" in head:
        await reader.readuntil(b"0\r\n\r\n")

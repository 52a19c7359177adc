"""A camera on HTTP for the tests: it does what a script says, byte by byte."""

import asyncio
import base64
import hashlib
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

Script = Callable[["Exchange"], Awaitable[None]]
PART = b"--x\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n%b\r\n"


class Exchange:
    """One request, and the writing of its answer. `fields`: of the request, names in lower case."""

    def __init__(self, head: str, writer: asyncio.StreamWriter) -> None:
        line, *rest = head.split("\r\n")
        self.method, self.path, _ = line.split(" ")
        self.fields = {name.lower(): value.strip() for name, _, value in (text.partition(":") for text in rest)}
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def head(self, content_type: str, *lines: str, status: str = "200 OK") -> None:
        await self.send("\r\n".join([f"HTTP/1.1 {status}", f"Content-Type: {content_type}", *lines, "", ""]).encode())

    async def whole(self, content_type: str, content: bytes, *lines: str, status: str = "200 OK") -> None:
        await self.head(content_type, f"Content-Length: {len(content)}", *lines, status=status)
        await self.send(content)

    async def redirect(self, where: str) -> None:
        await self.whole("text/plain", b"", f"Location: {where}", status="302 Found")

    async def part(self, jpeg: bytes, lines: bytes = b"") -> None:
        await self.send(PART % (len(jpeg), lines) + jpeg + b"\r\n")

    async def stream(self, jpegs: list[bytes], pause: float = 0.02) -> None:
        """As mjpg-streamer does: for ever."""
        await self.head("multipart/x-mixed-replace; boundary=x")
        while True:
            for jpeg in jpegs:
                await self.part(jpeg)
                await asyncio.sleep(pause)

    async def serve(self, folder: Path) -> None:
        """A file of the folder, with ranges as FFmpeg asks for them."""
        content = (folder / self.path.lstrip("/").partition("?")[0]).read_bytes()
        kinds = {"m3u8": "application/vnd.apple.mpegurl", "ts": "video/mp2t"}
        kind = kinds.get(self.path.rpartition(".")[2], "application/octet-stream")
        asked = re.match(r"bytes=(\d+)-", self.fields.get("range", ""))
        if asked is None:
            await self.whole(kind, content, "Accept-Ranges: bytes")
            return
        start = int(asked[1])
        told = f"Content-Range: bytes {start}-{len(content) - 1}/{len(content)}"
        await self.whole(kind, content[start:], told, status="206 Partial Content")

    async def asks_password(self, scheme: str, name: str, password: str) -> bool:
        """Whether it had to, as the request has none or a wrong one."""
        given = self.fields.get("authorization", "")
        if scheme == "Basic":
            right = given == "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()
            challenge = 'Basic realm="cam"'
        else:
            right = _digest_is_right(given, self.method, name, password)
            challenge = 'Digest realm="cam", nonce="abc", qop="auth", algorithm=MD5'
        if not right:
            await self.whole("text/html", b"no", f"WWW-Authenticate: {challenge}", status="401 Unauthorized")
        return not right


def _digest_is_right(given: str, method: str, name: str, password: str) -> bool:
    """RFC 7616 section 3.4.1."""
    said = dict(re.findall(r'(\w+)="?([^",]*)"?', given))
    if said.get("username") != name:
        return False
    first = hashlib.md5(f"{name}:cam:{password}".encode()).hexdigest()
    second = hashlib.md5(f"{method}:{said['uri']}".encode()).hexdigest()
    mixed = f"{first}:abc:{said['nc']}:{said['cnonce']}:auth:{second}"
    return said["response"] == hashlib.md5(mixed.encode()).hexdigest()


class HttpSource:
    """`script`: what it does with a request, and may be exchanged; `asked`: the requests that came."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.asked: list[Exchange] = []
        self.port = 0
        self._scheme = "http"
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.port}/video"

    async def start(self, tls: ssl.SSLContext | None = None, port: int = 0) -> None:
        self._scheme = "https" if tls is not None else "http"
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", port, ssl=tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def drop(self) -> None:
        """Break off whoever is connected."""
        for task in self._tasks:
            task.cancel()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with suppress(asyncio.IncompleteReadError, OSError):
                while True:
                    head = await reader.readuntil(b"\r\n\r\n")
                    exchange = Exchange(head.decode(), writer)
                    self.asked.append(exchange)
                    await self.script(exchange)
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            self._tasks.discard(task)
            writer.close()


@asynccontextmanager
async def source(script: Script, tls: ssl.SSLContext | None = None) -> AsyncIterator[HttpSource]:
    served = HttpSource(script)
    await served.start(tls)
    try:
        yield served
    finally:
        await served.stop()

"""A real RTSP server for the tests (RFC 2326): FFmpeg makes the RTP packets, and this hands them on.

FFmpeg can receive by RTSP but not serve, so its `rtp` muxer sends to a UDP port here, and each client that
plays gets the packets interleaved in its connection (section 10.12). It may ask for a password first.
"""

import asyncio
import base64
import hashlib
import re
from contextlib import suppress
from pathlib import Path

from tests.media import BUNDLED

REALM, NONCE = "camera", "0a1b2c"
CODECS = {
    "h264": ["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "10", "-pix_fmt", "yuv420p"],
    # RFC 2435 carries no Huffman tables: it must be the standard ones.
    "mjpeg": ["-c:v", "mjpeg", "-huffman", "default", "-q:v", "5", "-pix_fmt", "yuvj420p", "-strict", "unofficial"],
}


class RtspServer(asyncio.DatagramProtocol):
    """`auth`: None, Basic or Digest, for `user` with `password`. `silent`: play, but send nothing.

    `asked`: the request lines that came.
    """

    def __init__(self, auth: str | None = None, user: str = "u", password: str = "p", *, silent: bool = False) -> None:
        self.auth, self.user, self.password, self.silent = auth, user, password, silent
        self.asked: list[str] = []
        self.port = 0
        self._players: set[asyncio.StreamWriter] = set()

    async def start(self, folder: Path, codec: str = "h264", size: str = "320x240", rate: int = 25) -> None:
        loop = asyncio.get_running_loop()
        self._udp, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=("127.0.0.1", 0))
        port = self._udp.get_extra_info("sockname")[1]
        sdp = folder / f"{port}.sdp"
        self._ffmpeg = await asyncio.create_subprocess_exec(
            *(BUNDLED, "-loglevel", "error", "-nostdin", "-re", "-f", "lavfi"),
            *("-i", f"testsrc2=size={size}:rate={rate}", *CODECS[codec], "-sdp_file", str(sdp)),
            *("-f", "rtp", f"rtp://127.0.0.1:{port}?pkt_size=1200"),
            stdout=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        while not (sdp.exists() and "m=video" in sdp.read_text()):
            await asyncio.sleep(0.02)
        self._sdp = re.sub(r"m=video \d+", "m=video 0", sdp.read_text().strip()) + "\r\na=control:track\r\n"
        self._sdp = re.sub(r"\r?\n", "\r\n", self._sdp.removeprefix("SDP:\n"))
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self._server.close()
        self.drop()
        self._ffmpeg.kill()
        await self._ffmpeg.wait()
        self._udp.close()

    def drop(self) -> None:
        """Break off whoever plays."""
        for player in self._players:
            player.transport.abort()

    def url(self, scheme: str = "rtsp") -> str:
        return f"{scheme}://127.0.0.1:{self.port}/stream"

    def datagram_received(self, data: bytes, addr: object) -> None:
        for player in self._players:
            if not self.silent:
                player.write(b"$\0" + len(data).to_bytes(2, "big") + data)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                start = await reader.readexactly(1)
                if start == b"$":  # RTCP of the client
                    head = await reader.readexactly(3)
                    await reader.readexactly(int.from_bytes(head[1:], "big"))
                    continue
                head = start + await reader.readuntil(b"\r\n\r\n")
                self._answer(head.decode(), writer)
        self._players.discard(writer)
        writer.close()

    def _answer(self, head: str, writer: asyncio.StreamWriter) -> None:
        line, *rest = head.split("\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (text.partition(":") for text in rest)}
        self.asked.append(line)
        method, url, _ = line.split(" ")
        status, more, body = "200 OK", {}, ""
        if method != "OPTIONS" and not self._admits(method, url, fields.get("authorization", "")):
            nonce = f', nonce="{NONCE}"' if self.auth == "Digest" else ""
            status, more = "401 Unauthorized", {"WWW-Authenticate": f'{self.auth} realm="{REALM}"{nonce}'}
        elif method == "OPTIONS":
            more = {"Public": "DESCRIBE, SETUP, PLAY, TEARDOWN"}
        elif method == "DESCRIBE":
            more, body = {"Content-Type": "application/sdp", "Content-Base": f"{url}/"}, self._sdp
        elif method == "SETUP":
            more = {"Transport": "RTP/AVP/TCP;unicast;interleaved=0-1", "Session": "1"}
        elif method == "PLAY":
            more = {"Session": "1", "Range": "npt=0-"}
        elif method == "TEARDOWN":
            self._players.discard(writer)
        more |= {"CSeq": fields["cseq"]} | ({"Content-Length": str(len(body))} if body else {})
        lines = [f"RTSP/1.0 {status}", *(f"{name}: {value}" for name, value in more.items()), "", body]
        writer.write("\r\n".join(lines).encode())
        if method == "PLAY" and status.startswith("200"):
            self._players.add(writer)

    def _admits(self, method: str, url: str, given: str) -> bool:
        if self.auth is None:
            return True
        if self.auth == "Basic":
            return given == "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        said = dict(re.findall(r'(\w+)="([^"]*)"', given))
        first = hashlib.md5(f"{self.user}:{REALM}:{self.password}".encode()).hexdigest()
        second = hashlib.md5(f"{method}:{said.get('uri', '')}".encode()).hexdigest()
        return said.get("response") == hashlib.md5(f"{first}:{NONCE}:{second}".encode()).hexdigest()

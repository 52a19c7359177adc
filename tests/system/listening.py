"""A feed's stream as it comes over HTTP, compressed or not, from any server."""

import http.client
import socket
from types import TracebackType
from typing import Self

from tests.decoding import Decoder


class Listening:
    """`coding`: asked for and insisted on; `buffer`: bytes the kernel keeps for it; `plain`: all that was read."""

    def __init__(self, port: int, path: str, coding: str | None = None, buffer: int | None = None) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port)
        self._connection.sock = socket.socket()
        self._connection.sock.settimeout(30)
        if buffer is not None:
            self._connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self._connection.sock.connect(("127.0.0.1", port))
        # http.client itself says identity.
        self._connection.request("GET", path, headers={"Accept-Encoding": coding} if coding else {})
        self.answer = self._connection.getresponse()
        assert self.answer.status == 200
        assert self.answer.headers["Content-Encoding"] == coding
        self.plain = b""
        self.decoder = Decoder(coding)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None) -> None:
        self._connection.close()

    def until(self, text: bytes) -> bytes:
        """All so far, once that has come."""
        looked = 0
        while self.plain.find(text, looked) < 0:
            looked = max(len(self.plain) - len(text), 0)
            assert self._more(), "it ended"
        return self.plain

    def more(self) -> bytes:
        """All so far, once something has come."""
        assert self._more(), "it ended"
        return self.plain

    def to_the_end(self) -> bytes:
        while self._more():
            pass
        assert self.decoder.ended
        return self.plain

    def _more(self) -> bool:
        chunk = self.answer.read1(1 << 20)
        self.plain += self.decoder.feed(chunk)
        return bool(chunk)

"""A feed's stream as it comes over HTTP, compressed or not, from any server."""

import http.client
from types import TracebackType
from typing import Self

from tests.decoding import Decoder


class Listening:
    """`coding`: asked for and insisted on; `plain`: all that was read."""

    def __init__(self, port: int, path: str, coding: str | None = None) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        # http.client itself says identity.
        self._connection.request("GET", path, headers={"Accept-Encoding": coding} if coding else {})
        self.answer = self._connection.getresponse()
        assert self.answer.status == 200
        assert self.answer.headers["Content-Encoding"] == coding
        self.plain = b""
        self.size = 0
        self.decoder = Decoder(coding)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None) -> None:
        self._connection.close()

    def until(self, text: bytes) -> bytes:
        """All so far, once that has come."""
        while text not in self.plain:
            assert self._more(), "it ended"
        return self.plain

    def to_the_end(self) -> bytes:
        while self._more():
            pass
        assert self.decoder.ended
        return self.plain

    def _more(self) -> bool:
        chunk = self.answer.read1(1 << 20)
        self.size += len(chunk)
        self.plain += self.decoder.feed(chunk)
        return bool(chunk)

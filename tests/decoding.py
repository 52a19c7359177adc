"""A compressed stream read as it comes, as browsers and curl read it."""

import zlib
from typing import Any

import zstandard


class Decoder:
    """`coding`: gzip or zstd; anything else is plain. `ended`: whether the stream stands where it may end."""

    def __init__(self, coding: str | None) -> None:
        self._coding = coding
        self._under_way: Any = self._new()

    def _new(self) -> Any:
        return zlib.decompressobj(31) if self._coding == "gzip" else zstandard.ZstdDecompressor().decompressobj()

    def feed(self, chunk: bytes) -> bytes:
        """All that the stream so far says, and was not given yet."""
        if self._coding not in ("gzip", "zstd"):
            return chunk
        plain = b""
        while chunk:
            if self._under_way.eof:
                assert self._coding == "zstd", "something follows the member, and nobody would see it"
                self._under_way = self._new()
            plain += self._under_way.decompress(chunk)
            chunk = self._under_way.unused_data
        return plain

    @property
    def ended(self) -> bool:
        return self._coding not in ("gzip", "zstd") or bool(self._under_way.eof)


def decoded(coding: str | None, stream: bytes, step: int = 1 << 30) -> bytes:
    """All of a stream, to its very end, `step` bytes at a time."""
    decoder = Decoder(coding)
    plain = b"".join(decoder.feed(stream[at : at + step]) for at in range(0, len(stream), step))
    assert decoder.ended
    return plain

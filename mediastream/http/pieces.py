"""A compressed stream that is made of pieces, so that many can share them: each can be decoded when it has come, and
whoever has read the stream to the end of a piece can be given another beside it.

A stream is a `head`, any number of pieces, and an end. A piece leans on nothing before it (`alone`, and those of a
`Stream` that say so), or on the pieces of its stream since such a one, provided that nothing came between. So a reader
may go from one stream over to another, or have something said to it alone, wherever the next piece leans on nothing.

| | gzip (RFC 1952, 1951) | zstd (RFC 8878) |
|---|---|---|
| a piece ends | with a flush, at the edge of a byte | with a flush: a whole block |
| one that leans on nothing | comes after a full flush | ends the frame that is open, and opens another |
| nothing at all | an empty stored block | an empty raw block |
| the end | an empty last block; the length, and a check sum, of what this reader got | an empty last block |

Members of gzip one after the other would be simpler, but browsers and curl show the first alone. The windows are small
since what a feed repeats is near: 8 KiB instead of 32 cost gzip a hundredth of the plain size, and 32 KiB instead of
2 MiB zstd even less. A compressor takes 70 KB (gzip) or 230 KB (zstd).
"""

import struct
import zlib
from typing import Protocol

import zstandard

QUICK, WELL = 1, 6  # levels: of what is said once, perhaps 256 KB of it; of what repeats itself, for many


class Stream(Protocol):
    """Pieces that lean on those before. Holds a compressor."""

    def piece(self, plain: bytes, *, afresh: bool) -> bytes:
        """The next, of one byte or more. `afresh`: it leans on nothing, as the first has to."""


class Coding(Protocol):
    """`name`: the content coding's; `head`: what each stream begins with; `nothing`: may be sent after any piece, and
    changes nothing; `sums`: whether the end needs the check sum."""

    name: str
    head: bytes
    nothing: bytes
    sums: bool

    def alone(self, plain: bytes) -> bytes:
        """A piece that leans on nothing, of one byte or more."""

    def stream(self) -> Stream: ...
    def end(self, crc: int, size: int) -> bytes:
        """`crc`: CRC-32 of all that the reader got, plain; `size`: its bytes."""


class _Gzip:
    name = "gzip"
    head = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"  # deflate, no flags, no time, of an unknown system
    nothing = b"\0\0\0\xff\xff"
    sums = True

    def __init__(self) -> None:
        self._quick = zlib.compressobj(QUICK, zlib.DEFLATED, -15)

    def alone(self, plain: bytes) -> bytes:
        """The full flush has it forget what it was given, so that one compressor serves for all."""
        return self._quick.compress(plain) + self._quick.flush(zlib.Z_FULL_FLUSH)

    def stream(self) -> Stream:
        return _Deflated()

    def end(self, crc: int, size: int) -> bytes:
        return b"\x03\0" + struct.pack("<II", crc, size & 0xFFFFFFFF)


class _Deflated:
    def __init__(self) -> None:
        self._compressor = zlib.compressobj(WELL, zlib.DEFLATED, -13, 6)

    def piece(self, plain: bytes, *, afresh: bool) -> bytes:
        if afresh:
            # At the edge of a byte already, so what it gives is an empty stored block, which nobody needs.
            self._compressor.flush(zlib.Z_FULL_FLUSH)
        return self._compressor.compress(plain) + self._compressor.flush(zlib.Z_SYNC_FLUSH)


class _Zstd:
    """Between pieces a frame is open, always, so that all readers need the same bytes."""

    name = "zstd"
    head = b"\x28\xb5\x2f\xfd\0\0"  # a frame without check sum or size, with the smallest window: for `end` to end
    nothing = b"\0\0\0"
    sums = False

    def __init__(self) -> None:
        # Of the largest window that its first block may need: a replay's 256 KB say little twice that lies further.
        self._quick = _zstd_compressor(QUICK, window_log=17)

    def alone(self, plain: bytes) -> bytes:
        return LAST_BLOCK + _flushed(self._quick.compressobj(), plain)

    def stream(self) -> Stream:
        return _Framed()

    def end(self, _crc: int, _size: int) -> bytes:
        return LAST_BLOCK


LAST_BLOCK = b"\x01\0\0"  # of a zstd frame: raw and empty


class _Framed:
    def __init__(self) -> None:
        self._compressor = _zstd_compressor(WELL, window_log=15, hash_log=14, chain_log=14)
        self._frame: zstandard.ZstdCompressionObj | None = None

    def piece(self, plain: bytes, *, afresh: bool) -> bytes:
        if not afresh and self._frame is not None:
            return _flushed(self._frame, plain)
        self._frame = self._compressor.compressobj()
        return LAST_BLOCK + _flushed(self._frame, plain)


def _zstd_compressor(level: int, **sizes: int) -> zstandard.ZstdCompressor:
    parameters = zstandard.ZstdCompressionParameters.from_level(level, write_content_size=False, **sizes)
    return zstandard.ZstdCompressor(compression_params=parameters)


def _flushed(frame: "zstandard.ZstdCompressionObj", plain: bytes) -> bytes:
    return frame.compress(plain) + frame.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)


GZIP: Coding = _Gzip()
ZSTD: Coding = _Zstd()
CODINGS = {coding.name: coding for coding in (ZSTD, GZIP)}  # the best first; they compress alike, zstd with less work

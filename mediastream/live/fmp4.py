"""Fragmented MP4 out of a byte stream, purely: feed bytes in any pieces, get the init segment and whole fragments.

ISO/IEC 14496-12: a file is boxes, each with its size and four letters. `ftyp` and `moov` say what there is and make
the init segment; then each `moof` describes the samples in the `mdat` behind it, and the two are a fragment. One
video track is read, as our encoder writes it. All else between (`styp`, `sidx`, `prft`, `free`) is left out.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from mediastream.broadcast import Shared

MAX_INIT = 256 * 1024  # bytes of one box before the first fragment; FFmpeg's have less than 1 KB
MAX_BOX = 16 * 1024 * 1024  # bytes; one picture is in it
_NON_SYNC = 0x10000  # sample_is_non_sync_sample, section 8.8.3.1
_VISUAL = 86  # bytes of a VisualSampleEntry before its own boxes, section 12.1.3


class Fmp4Broken(ValueError):
    """This is not the fragmented MP4 of one video track, or a box claims too much. The parser is of no more use."""


@dataclass(frozen=True)
class Init:
    """What a decoder needs before any fragment. `codec`: by RFC 6381; `timescale`: units in a second."""

    data: bytes
    codec: str
    timescale: int
    width: int
    height: int

    @property
    def content_type(self) -> str:
        return f'video/mp4; codecs="{self.codec}"'


@dataclass(frozen=True)
class Fragment:
    """`moof` and `mdat`. `keyframe`: a decoder may begin here; times in units of the init's timescale."""

    data: bytes
    keyframe: bool
    decode_time: int
    duration: int

    @cached_property
    def shared(self) -> Shared:
        """Framed once for all viewers."""
        return Shared(self.data)


@dataclass(frozen=True)
class _Box:
    kind: bytes
    start: int  # of its content
    end: int


@dataclass(frozen=True)
class _Defaults:
    """What a fragment's samples have where it does not say itself (trex, section 8.8.3; tfhd, section 8.8.7)."""

    duration: int
    flags: int


@dataclass
class Fmp4Parser:
    _buffer: bytearray = field(default_factory=bytearray)
    _ftyp: bytes = b""
    _moof: bytes = b""
    _defaults: _Defaults | None = None  # set once the init segment is whole

    def feed(self, data: bytes) -> list[Init | Fragment]:
        """What `data` completes. Raises Fmp4Broken."""
        self._buffer += data
        found: list[Init | Fragment] = []
        while (size := self._next_size()) is not None and len(self._buffer) >= size:
            box = bytes(self._buffer[:size])
            del self._buffer[:size]
            made = self._take(box)
            if made is not None:
                found.append(made)
        return found

    def _next_size(self) -> int | None:
        """Bytes of the box at the buffer's start; None if its head is not whole."""
        if len(self._buffer) < 8:
            return None
        size = int.from_bytes(self._buffer[:4], "big")
        least = 8
        if size == 1:  # a 64-bit size follows, section 4.2
            if len(self._buffer) < 16:
                return None
            size, least = int.from_bytes(self._buffer[8:16], "big"), 16
        most = MAX_BOX if self._defaults is not None else MAX_INIT
        if not least <= size <= most:  # 0 would mean: to the end of the file
            raise Fmp4Broken(f"a box {bytes(self._buffer[4:8])!r} of {size} bytes")
        return size

    def _take(self, box: bytes) -> Init | Fragment | None:
        kind = box[4:8]
        if self._moof and kind != b"mdat":
            raise Fmp4Broken(f"{kind!r} instead of mdat after moof")
        if kind == b"ftyp" and not self._ftyp:
            self._ftyp = box
        elif kind == b"moov" and self._ftyp and self._defaults is None:
            init, self._defaults = _init(self._ftyp, box)
            return init
        elif kind == b"moof" and self._defaults is not None:
            self._moof = box
        elif kind == b"mdat" and self._moof and self._defaults is not None:
            moof, self._moof = self._moof, b""
            return _fragment(moof, box, self._defaults)
        elif kind in (b"ftyp", b"moov", b"moof", b"mdat"):
            raise Fmp4Broken(f"{kind!r} out of its order")
        return None


def _boxes(data: bytes, start: int, end: int) -> Iterator[_Box]:
    while start < end:
        if end - start < 8:
            raise Fmp4Broken("a box is cut")
        size, kind = struct.unpack_from(">I4s", data, start)
        if not 8 <= size <= end - start:
            raise Fmp4Broken(f"a box {kind!r} of {size} bytes in one of {end - start}")
        yield _Box(kind, start + 8, start + size)
        start += size


def _child(data: bytes, parent: _Box, *path: bytes) -> _Box:
    """The first box down that path. Raises Fmp4Broken if there is none."""
    for kind in path:
        for box in _boxes(data, parent.start, parent.end):
            if box.kind == kind:
                parent = box
                break
        else:
            raise Fmp4Broken(f"no {kind!r} in {parent.kind!r}")
    return parent


def _unpack(form: str, data: bytes, box: _Box, at: int = 0) -> tuple[int, ...]:
    """Numbers from `at` bytes into a box's content on. Raises Fmp4Broken past its end."""
    if box.start + at + struct.calcsize(form) > box.end:
        raise Fmp4Broken(f"{box.kind!r} is too short")
    return struct.unpack_from(form, data, box.start + at)


def _init(ftyp: bytes, moov: bytes) -> tuple[Init, _Defaults]:
    root = _Box(b"moov", 8, len(moov))
    media = _child(moov, root, b"trak", b"mdia")
    header = _child(moov, media, b"mdhd")
    [version] = _unpack(">B", moov, header)
    [timescale] = _unpack(">I", moov, header, 20 if version == 1 else 12)
    if timescale == 0:
        raise Fmp4Broken("a timescale of 0")
    described = _child(moov, media, b"minf", b"stbl", b"stsd")
    entries = _Box(b"stsd", min(described.start + 8, described.end), described.end)
    entry = _child(moov, entries, b"avc1")
    width, height = _unpack(">HH", moov, entry, 24)
    inner = _Box(b"avc1", min(entry.start + _VISUAL - 8, entry.end), entry.end)
    # avcC, ISO/IEC 14496-15 section 5.3.3.1: its version, then profile, compatibility and level, which RFC 6381
    # section 3.3 has in hexadecimal.
    profile, compatible, level = _unpack(">BBB", moov, _child(moov, inner, b"avcC"), 1)
    trex = _child(moov, root, b"mvex", b"trex")
    duration, _, flags = _unpack(">III", moov, trex, 12)
    codec = f"avc1.{profile:02X}{compatible:02X}{level:02X}"
    return Init(ftyp + moov, codec, timescale, width, height), _Defaults(duration, flags)


def _fragment(moof: bytes, mdat: bytes, defaults: _Defaults) -> Fragment:
    track = _child(moof, _Box(b"moof", 8, len(moof)), b"traf")
    defaults = _of_track(moof, _child(moof, track, b"tfhd"), defaults)
    time = _child(moof, track, b"tfdt")
    [version] = _unpack(">B", moof, time)
    [decode_time] = _unpack(">Q" if version == 1 else ">I", moof, time, 4)
    duration, keyframe = _of_samples(moof, _child(moof, track, b"trun"), defaults)
    return Fragment(moof + mdat, keyframe, decode_time, duration)


def _of_track(moof: bytes, tfhd: _Box, defaults: _Defaults) -> _Defaults:
    [flags] = _unpack(">I", moof, tfhd)
    at = 8  # after version, flags and the track's number
    duration, sample_flags = defaults.duration, defaults.flags
    at += 8 * (flags & 0x1) + 4 * (flags >> 1 & 0x1)  # base_data_offset, sample_description_index
    if flags & 0x8:
        [duration] = _unpack(">I", moof, tfhd, at)
        at += 4
    at += 4 * (flags >> 4 & 0x1)  # default_sample_size
    if flags & 0x20:
        [sample_flags] = _unpack(">I", moof, tfhd, at)
    return _Defaults(duration, sample_flags)


def _of_samples(moof: bytes, trun: _Box, defaults: _Defaults) -> tuple[int, bool]:
    """How long the samples last together, and whether the first is a keyframe (trun, section 8.8.8)."""
    flags, count = _unpack(">II", moof, trun)
    flags &= 0xFFFFFF
    first_flags, at = defaults.flags, 8
    at += 4 * (flags & 0x1)  # data_offset
    if flags & 0x4:
        [first_flags] = _unpack(">I", moof, trun, at)
        at += 4
    has_duration, has_size, has_flags, has_offset = (flags >> bit & 0x1 for bit in (8, 9, 10, 11))
    step = 4 * (has_duration + has_size + has_flags + has_offset)
    if count == 0 or trun.start + at + step * count > trun.end:
        raise Fmp4Broken(f"trun of {count} samples")
    if has_flags and not flags & 0x4:
        [first_flags] = _unpack(">I", moof, trun, at + 4 * (has_duration + has_size))
    if not has_duration:
        return defaults.duration * count, not first_flags & _NON_SYNC
    durations = (_unpack(">I", moof, trun, at + step * number)[0] for number in range(count))
    return sum(durations), not first_flags & _NON_SYNC

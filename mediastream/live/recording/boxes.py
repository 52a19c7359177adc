"""MP4 boxes (ISO/IEC 14496-12), as far as recordings need them: bytes in, bytes out."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass


class Mp4Invalid(ValueError):
    """These bytes are not the MP4 that was expected; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Box:
    """Where a box lies: `start` of its head, `content` after it, `stop` after all of it."""

    kind: bytes
    start: int
    content: int
    stop: int

    @property
    def size(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True, slots=True)
class Track:
    """The only track of an init segment. `timescale`: its ticks a second; `defaults`: of a sample: duration, size
    and flags (trex, section 8.8.3)."""

    id: int
    timescale: int
    defaults: tuple[int, int, int]


def boxes(data: bytes, start: int = 0, stop: int | None = None) -> Iterator[Box]:
    """The boxes between two positions, one after another. Raises Mp4Invalid."""
    stop = len(data) if stop is None else stop
    while start < stop:
        if stop - start < 8:
            raise Mp4Invalid("a box has no whole head")
        size, kind = struct.unpack_from(">I4s", data, start)
        content = start + 8
        if size == 1:
            if stop - start < 16:
                raise Mp4Invalid("a box has no whole head")
            [size] = struct.unpack_from(">Q", data, content)
            content += 8
        if start + size > stop or size < content - start:
            raise Mp4Invalid(f"a box {kind!r} of {size} bytes does not fit")
        yield Box(kind, start, content, start + size)
        start += size


def child(data: bytes, parent: Box | None, *path: bytes, skip: int = 0) -> Box:
    """The first box down this path of kinds; `parent` None: from the top. Raises Mp4Invalid if there is none."""
    start, stop = (0, len(data)) if parent is None else (parent.content + skip, parent.stop)
    found: Box | None = None
    for kind in path:
        found = next((box for box in boxes(data, start, stop) if box.kind == kind), None)
        if found is None:
            raise Mp4Invalid(f"there is no {kind.decode('latin-1')}")
        start, stop = found.content, found.stop
    assert found is not None
    return found


def box(kind: bytes, *content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + sum(map(len, content)), kind) + b"".join(content)


def full_box(kind: bytes, version: int, flags: int, *content: bytes) -> bytes:
    return box(kind, struct.pack(">I", version << 24 | flags), *content)


def unpack(layout: str, data: bytes, at: Box, offset: int = 0) -> tuple[int, ...]:
    """Big-endian numbers at an offset in a box's content. Raises Mp4Invalid past its end."""
    if at.content + offset + struct.calcsize(">" + layout) > at.stop:
        raise Mp4Invalid(f"a box {at.kind!r} is too short")
    return struct.unpack_from(">" + layout, data, at.content + offset)


def track(init: bytes) -> Track:
    """Of an init segment with one track. Raises Mp4Invalid."""
    moov = child(init, None, b"moov")
    if sum(found.kind == b"trak" for found in boxes(init, moov.content, moov.stop)) != 1:
        raise Mp4Invalid("there is not one track")
    number, _, duration, size, flags = unpack("5I", init, child(init, moov, b"mvex", b"trex"), 4)
    mdhd = child(init, moov, b"trak", b"mdia", b"mdhd")
    [timescale] = unpack("I", init, mdhd, 20 if _version(init, mdhd) else 12)
    if not timescale:
        raise Mp4Invalid("time has no scale")
    return Track(number, timescale, (duration, size, flags))


def with_duration(init: bytes, milliseconds: int) -> bytes:
    """The init segment saying how long all fragments are together (mehd, section 8.8.2): Firefox and players that
    read no sidx would else know no end."""
    moov = child(init, None, b"moov")
    mvhd, mvex = child(init, moov, b"mvhd"), child(init, moov, b"mvex")
    [timescale] = unpack("I", init, mvhd, 20 if _version(init, mvhd) else 12)
    mehd = full_box(b"mehd", 1, 0, struct.pack(">Q", milliseconds * timescale // 1000))
    kept = [init[b.start : b.stop] for b in boxes(init, mvex.content, mvex.stop) if b.kind != b"mehd"]
    changed = box(b"moov", init[moov.content : mvex.start], box(b"mvex", mehd, *kept), init[mvex.stop : moov.stop])
    return init[: moov.start] + changed + init[moov.stop :]


def with_start(init: bytes, time: int) -> bytes:
    """The init segment whose only track is shown from this time on, in ticks (elst, section 8.6.6)."""
    moov = child(init, None, b"moov")
    trak = child(init, moov, b"trak")
    tkhd = child(init, trak, b"tkhd")
    # One entry of no length, which is all there is of the fragments, at the usual rate.
    edts = box(b"edts", full_box(b"elst", 0, 0, struct.pack(">IIiHH", 1, 0, time, 1, 0)))
    kept = [init[b.start : b.stop] for b in boxes(init, tkhd.stop, trak.stop) if b.kind != b"edts"]
    changed = box(b"trak", init[trak.content : tkhd.stop], edts, *kept)
    return init[: moov.start] + box(b"moov", init[moov.content : trak.start], changed, init[trak.stop : moov.stop])


def _version(data: bytes, at: Box) -> int:
    return unpack("B", data, at)[0]

"""The layout of a segment's file: purely.

    init segment | index (sidx, section 8.16.3) and room (free) | fragment | fragment | ...

The index stands where a player that is given this file alone looks for it. It is written last, when all fragments
are known, so its room is set aside first. All that is needed to join a file to others stands in its first few
kilobytes.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from mediastream.live.recording.boxes import Mp4Invalid, Track, box, boxes, full_box, track, unpack

MOST = 128  # fragments of one segment
ROOM = 40 + 12 * MOST + 8  # bytes of the index and of an empty free box
HEAD = 8192  # bytes in which init segment and index lie
MOST_INIT = HEAD - ROOM
_SAP = 0x9000_0000  # starts_with_SAP, of type 1: decoding can start with its first picture


@dataclass(frozen=True, slots=True)
class Fragment:
    """`size`: bytes; `duration`: ticks; `sync`: whether it begins with a key frame."""

    size: int
    duration: int
    sync: bool


@dataclass(frozen=True, slots=True)
class Head:
    """What the beginning of a segment's file says. `offset`: of the first fragment."""

    init: bytes
    track: Track
    offset: int
    fragments: tuple[Fragment, ...]

    @property
    def duration(self) -> int:
        """Ticks."""
        return sum(fragment.duration for fragment in self.fragments)

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self.offset + sum(fragment.size for fragment in self.fragments)


def index(of: Track, fragments: Sequence[Fragment], gap: int = 0) -> bytes:
    """A sidx for these fragments, which begin `gap` bytes after it."""
    references = b"".join(
        struct.pack(">III", fragment.size, fragment.duration, _SAP if fragment.sync else 0) for fragment in fragments
    )
    fixed = struct.pack(">IIQQHH", of.id, of.timescale, 0, gap, 0, len(fragments))
    return full_box(b"sidx", 1, 0, fixed, references)


def room(of: Track, fragments: Sequence[Fragment]) -> bytes:
    """What stands between the init segment and the first fragment; without fragments, the room for it alone."""
    if not fragments:
        return box(b"free", bytes(ROOM - 8))
    free = ROOM - len(index(of, fragments))
    return index(of, fragments, free) + box(b"free", bytes(free - 8))


def read(head: bytes) -> Head:
    """`head`: the first bytes of a segment's file, HEAD of them if it has as many. Raises Mp4Invalid."""
    first = list(islice(boxes(head), 3))  # what follows is cut off somewhere
    if [found.kind for found in first] != [b"ftyp", b"moov", b"sidx"]:
        raise Mp4Invalid("it does not begin with ftyp, moov and sidx")
    init, sidx = head[: first[1].stop], first[2]
    gap, _, count = unpack("QHH", head, sidx, 20)
    rows = (unpack("3I", head, sidx, 32 + 12 * place) for place in range(count))
    fragments = tuple(Fragment(size, duration, bool(sap & 0x8000_0000)) for size, duration, sap in rows)
    return Head(init, track(init), sidx.stop + gap, fragments)

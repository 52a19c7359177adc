"""Fragments taken apart and put together anew: purely.

A camera's encoder writes many small fragments, so that its viewers wait for none. For keeping, those of one group
of pictures become one: fewer places to seek to, and fewer boxes to read and correct when segments are joined. Each
fragment written here has its time and number at a known place, so that `placed` can say them anew.
"""

import struct
from dataclasses import dataclass, field

from mediastream.live.recording.boxes import Box, Mp4Invalid, Track, box, boxes, child, full_box, unpack

NOT_SYNC = 0x10000  # sample_is_non_sync_sample, section 8.8.3.1
NUMBER_AT, TIME_AT = 20, 60  # within a fragment of ours: mfhd's sequence_number, tfdt's time
_DATA_OFFSET, _FIRST_FLAGS, _DURATION, _SIZE, _FLAGS, _SHIFT = 0x1, 0x4, 0x100, 0x200, 0x400, 0x800
_BASE_IS_MOOF = 0x20000


@dataclass(slots=True)
class Samples:
    """Pictures in the order of decoding. Each: duration and shift of presentation in ticks, size in bytes, flags."""

    rows: list[tuple[int, int, int, int]] = field(default_factory=list)  # duration, size, flags, shift
    data: list[bytes] = field(default_factory=list)
    duration: int = 0
    bytes: int = 0

    @property
    def sync(self) -> bool:
        """Whether decoding can start here."""
        return bool(self.rows) and not self.rows[0][2] & NOT_SYNC

    def extend(self, more: "Samples") -> None:
        self.rows += more.rows
        self.data += more.data
        self.duration += more.duration
        self.bytes += more.bytes


def read(fragment: bytes, track: Track) -> Samples:
    """The samples of one `moof` and the `mdat` after it. Raises Mp4Invalid."""
    moof = child(fragment, None, b"moof")
    traf = child(fragment, moof, b"traf")
    tfhd = child(fragment, traf, b"tfhd")
    defaults, absolute = _defaults(fragment, tfhd, track)
    if absolute:
        raise Mp4Invalid("the data lies at an address in a whole file")
    found = Samples()
    at = moof.start
    for trun in boxes(fragment, traf.content, traf.stop):
        if trun.kind == b"trun":
            rows, offset = _rows(fragment, trun, defaults)
            at = moof.start + offset if offset is not None else at
            size = sum(row[1] for row in rows)
            if at < moof.stop or at + size > len(fragment):
                raise Mp4Invalid("the data lies outside of the fragment")
            found.extend(Samples(rows, [fragment[at : at + size]], sum(row[0] for row in rows), size))
            at += size
    return found


def _defaults(fragment: bytes, tfhd: Box, track: Track) -> tuple[tuple[int, int, int], bool]:
    """Duration, size and flags of samples that do not say theirs; whether an address in a file is given."""
    flags, number = unpack("II", fragment, tfhd)
    if number != track.id:
        raise Mp4Invalid("the fragment is of another track")
    offset = 8 + (8 if flags & 0x1 else 0) + (4 if flags & 0x2 else 0)
    values = list(track.defaults)
    for index, present in enumerate((0x8, 0x10, 0x20)):
        if flags & present:
            [values[index]] = unpack("I", fragment, tfhd, offset)
            offset += 4
    return (values[0], values[1], values[2]), bool(flags & 0x1)


def _rows(
    fragment: bytes, trun: Box, defaults: tuple[int, int, int]
) -> tuple[list[tuple[int, int, int, int]], int | None]:
    """One trun's samples, and where its data begins (section 8.8.8)."""
    head, count = unpack("II", fragment, trun)
    flags, offset = head & 0xFFFFFF, 8
    begins = first = None
    if flags & _DATA_OFFSET:
        [begins] = unpack("i", fragment, trun, offset)
        offset += 4
    if flags & _FIRST_FLAGS:
        [first] = unpack("I", fragment, trun, offset)
        offset += 4
    present = [flags & bit for bit in (_DURATION, _SIZE, _FLAGS, _SHIFT)]
    width = sum(map(bool, present))
    if width == 0 and count > len(fragment):
        raise Mp4Invalid("a run has more samples than bytes")
    if trun.content + offset + 4 * width * count > trun.stop:
        raise Mp4Invalid("a box b'trun' is too short")
    rows = []
    for index in range(count):
        values = iter(struct.unpack_from(f">{width}I", fragment, trun.content + offset + 4 * width * index))
        duration, size, flagged = (
            next(values) if given else default for given, default in zip(present[:3], defaults, strict=True)
        )
        if index == 0 and first is not None:
            flagged = first
        shift = next(values) if present[3] else 0
        rows.append((duration, size, flagged, shift - (1 << 32) if shift >= 1 << 31 else shift))
    return rows, begins


def write(samples: Samples, track_id: int, number: int, time: int) -> bytes:
    """One fragment of them all: `time`: of the first, in ticks."""
    shifted = any(row[3] for row in samples.rows)
    flags = _DATA_OFFSET | _DURATION | _SIZE | _FLAGS | (_SHIFT if shifted else 0)
    layout, used = (">IIIi", 4) if shifted else (">III", 3)
    rows = b"".join(struct.pack(layout, *row[:used]) for row in samples.rows)
    size = TIME_AT + 8 + 20 + len(rows)  # of the whole moof: as many bytes before tfdt's end, then trun
    moof = box(
        b"moof",
        full_box(b"mfhd", 0, 0, struct.pack(">I", number)),
        box(
            b"traf",
            full_box(b"tfhd", 0, _BASE_IS_MOOF, struct.pack(">I", track_id)),
            full_box(b"tfdt", 1, 0, struct.pack(">Q", time)),
            # Version 1: shifts are signed.
            full_box(b"trun", 1, flags, struct.pack(">Ii", len(samples.rows), size + 8), rows),
        ),
    )
    assert len(moof) == size
    return moof + box(b"mdat", *samples.data)

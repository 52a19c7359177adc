"""A past span as one MP4, made of the segments it covers: purely.

    init segment | index (sidx) | the fragments of each segment, with their time and number said anew

All sizes are known before a byte is read, so the whole has a length and ranges, and its index tells players where
each time lies. Within a stretch a picture's place in the file is its distance in real time from the beginning,
whatever the encoder's clock did; the gap between two stretches is left out.
"""

import struct
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

from mediastream.live.recording import segments
from mediastream.live.recording.boxes import Mp4Invalid, with_duration
from mediastream.live.recording.names import JOIN, Segment
from mediastream.live.recording.samples import NUMBER_AT, TIME_AT
from mediastream.live.recording.segments import Fragment, Head

MOST_FRAGMENTS = 0xFFFF  # of one sidx; with groups of two seconds, a day and a half


@dataclass(frozen=True, slots=True)
class Part:
    """The fragments of one segment. `start`, `stop`: their bytes in its file; `time`: of the first, in ticks;
    `number`: of the first."""

    segment: Segment
    start: int
    stop: int
    time: int
    number: int
    fragments: tuple[Fragment, ...]

    @property
    def size(self) -> int:
        return self.stop - self.start

    def corrected(self, offset: int, data: bytes) -> bytes:
        """`data`, read at an offset from `start`, with the times and numbers it has in the span."""
        changed = bytearray(data)
        for at, new in self._corrections(offset, offset + len(data)):
            begin, end = max(at, offset), min(at + len(new), offset + len(data))
            if begin < end:
                changed[begin - offset : end - offset] = new[begin - at : end - at]
        return bytes(changed)

    def _corrections(self, start: int, stop: int) -> Iterator[tuple[int, bytes]]:
        at, time = 0, self.time
        for number, fragment in enumerate(self.fragments, self.number):
            if at >= stop:
                return
            if at + TIME_AT + 8 > start:
                yield at + NUMBER_AT, struct.pack(">I", number)
                yield at + TIME_AT, struct.pack(">Q", time)
            at, time = at + fragment.size, time + fragment.duration


@dataclass(frozen=True)
class Span:
    """`start`: Unix milliseconds of its first picture; `header`: what comes before the parts."""

    start: int
    header: bytes
    parts: tuple[Part, ...]
    duration: int  # milliseconds

    @cached_property
    def offsets(self) -> list[int]:
        """Where each part begins, and the end."""
        return list(accumulate((part.size for part in self.parts), initial=len(self.header)))

    @property
    def size(self) -> int:
        return self.offsets[-1]

    def part_at(self, position: int) -> tuple[Part, int]:
        """The part with the byte at `position`, which is not of the header, and its offset within that."""
        index = bisect_right(self.offsets, position) - 1
        return self.parts[index], position - self.offsets[index]


def joined(heads: Sequence[tuple[Segment, Head]]) -> Span:
    """The span of these segments, in order. It ends before the first that another encoder's settings begin with,
    as a player could not go on. Raises Mp4Invalid if nothing of it can be had."""
    if not heads:
        raise Mp4Invalid("there is nothing")
    first, head = heads[0]
    parts: list[Part] = []
    origin, base, end, number = first.start, 0, 0, 1  # `origin` plays at `base`; the last part ends at `end`, in ticks
    previous = first
    for segment, its in heads:
        if its.init != head.init or number + len(its.fragments) > MOST_FRAGMENTS:
            break
        if segment.start - previous.end > JOIN:
            origin, base = segment.start, end
        time = max(end, base + (segment.start - origin) * head.track.timescale // 1000)
        if parts:
            parts[-1] = _stretched(parts[-1], time)
        parts.append(Part(segment, its.offset, its.size, time, number, its.fragments))
        end, number, previous = time + its.duration, number + len(its.fragments), segment
    everything = [fragment for part in parts for fragment in part.fragments]
    duration = end * 1000 // head.track.timescale
    header = with_duration(head.init, duration) + segments.index(head.track, everything)
    return Span(first.start, header, tuple(parts), duration)


def _stretched(part: Part, end: int) -> Part:
    """With its last fragment up to where the next part begins: an index has no gaps."""
    *others, last = part.fragments
    spare = end - part.time - sum(fragment.duration for fragment in part.fragments)
    fragments = (*others, Fragment(last.size, last.duration + spare, last.sync))
    return Part(part.segment, part.start, part.stop, part.time, part.number, fragments)

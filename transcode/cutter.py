"""Segments out of FFmpeg's fragmented MP4: feed bytes in any pieces, get the init segment and whole segments. Pure.

ISO/IEC 14496-12: `ftyp` and `moov` make the init segment; each `moof` describes the samples in the `mdat` after it.
FFmpeg's fragments are taken apart and put together anew along the layout, one for each segment. What comes before the
segment that was asked for is left out: a seek begins at a keyframe before it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from mediastream.live.recording import boxes, samples
from mediastream.live.recording.boxes import Mp4Invalid, Track
from mediastream.live.recording.samples import NOT_SYNC, Samples
from transcode.hls_argv import SHIFT
from transcode.layout import Layout

MAX_BOX = 256 * 1024 * 1024  # bytes: twenty seconds between keyframes at 100 Mbit/s
MAX_INIT = 1024 * 1024


@dataclass(frozen=True)
class Segment:
    """`number` -1: the init segment."""

    number: int
    data: bytes


INIT = -1


@dataclass
class Cutter:
    """`first`: the segment to begin with. Both `feed` and `finish` raise Mp4Invalid for what FFmpeg would not write."""

    layout: Layout
    first: int
    _buffer: bytearray = field(default_factory=bytearray)
    _head: bytes = b""
    _track: Track | None = None
    _moof: bytes = b""
    _number: int = -1  # of the segment being put together; -1: none yet
    _time: int = 0  # of its first sample, in ticks
    _held: Samples = field(default_factory=Samples)

    def feed(self, data: bytes) -> list[Segment]:
        """What `data` completes."""
        self._buffer += data
        found: list[Segment] = []
        while (size := self._next_size()) is not None and len(self._buffer) >= size:
            box = bytes(self._buffer[:size])
            del self._buffer[:size]
            found += self._take(box)
        return found

    def finish(self) -> list[Segment]:
        """At FFmpeg's own end: the last segment, and empty ones for what the layout has beyond it."""
        if self._track is None or self._number < 0:
            raise Mp4Invalid("FFmpeg ended without a sample")
        return [*self._close(len(self.layout))]

    def _next_size(self) -> int | None:
        if len(self._buffer) < 16:
            return None
        size = int.from_bytes(self._buffer[:4], "big")
        if size == 1:
            size = int.from_bytes(self._buffer[8:16], "big")
        if not 8 <= size <= (MAX_INIT if self._track is None else MAX_BOX):
            raise Mp4Invalid(f"a box {bytes(self._buffer[4:8])!r} of {size} bytes")
        return size

    def _take(self, box: bytes) -> Iterator[Segment]:
        kind = box[4:8]
        if kind == b"ftyp":
            self._head = box
        elif kind == b"moov":
            self._track = boxes.track(box)
            delay = self._delay(self._track)
            yield Segment(INIT, boxes.with_start(self._head + box, delay) if delay else self._head + box)
        elif kind == b"moof":
            self._moof = box
        elif kind == b"mdat" and self._moof and self._track is not None:
            fragment, self._moof = self._moof + box, b""
            yield from self._cut(fragment, self._track)

    def _cut(self, fragment: bytes, track: Track) -> Iterator[Segment]:
        found = samples.read(fragment, track)
        time, data, at = _decode_time(fragment) - SHIFT * track.timescale, b"".join(found.data), 0
        for row in found.rows:
            duration, size, flags, shift = row
            begins = (time + shift) / track.timescale
            # What an encoder of sound says before its first sample is not heard.
            if not flags & NOT_SYNC and begins > -self.layout.early:
                number = self.layout.at(begins)
                if number > self._number and number >= self.first:
                    yield from self._close(number)
                    self._number, self._time = number, time
            if self._number >= 0:
                self._held.extend(Samples([row], [data[at : at + size]], duration, size))
            time, at = time + duration, at + size
        if self._is_full(time, track):
            yield Segment(self._number, self._written())

    def _is_full(self, time: int, track: Track) -> bool:
        """Whether the next sample, of this time of decoding, begins the next segment.

        It comes with the next fragment, which may take as long as this segment did. It is taken to be shown as long
        after its decoding as this segment's first.
        """
        if not self._held.rows or self._number + 1 >= len(self.layout):
            return False
        return self.layout.at((time + self._held.rows[0][3]) / track.timescale) > self._number

    def _close(self, until: int) -> Iterator[Segment]:
        """The segment that was being put together, and those without a sample before `until`."""
        begin = self._number
        if begin < 0:
            begin = self.first - 1
        elif self._held.rows:
            yield Segment(begin, self._written())
        for number in range(begin + 1, until):
            yield Segment(number, self._empty(number))

    def _written(self) -> bytes:
        assert self._track is not None
        held, self._held = self._held, Samples()
        # Pictures out of their order are decoded before the segment's time, and no time may be below 0. So the time of
        # decoding is said to be that of the segment, all are shown by the delay later than they should, and the init
        # segment takes that away again. Shifts below 0 would do without, but FFmpeg shows them too late then.
        late, delay = held.rows[0][3], self._delay(self._track)
        if late != delay:
            held.rows = [(duration, size, flags, shift - late + delay) for duration, size, flags, shift in held.rows]
        return samples.write(held, self._track.id, self._number + 1, max(self._time + late, 0))

    def _delay(self, track: Track) -> int:
        return round(self.layout.delay * track.timescale)

    def _empty(self, number: int) -> bytes:
        assert self._track is not None
        time = round(self.layout.starts[number] * self._track.timescale)
        return samples.write(Samples(), self._track.id, number + 1, time)


def _decode_time(fragment: bytes) -> int:
    tfdt = boxes.child(fragment, None, b"moof", b"traf", b"tfdt")
    [version] = boxes.unpack("B", fragment, tfdt)
    [time] = boxes.unpack("Q" if version == 1 else "I", fragment, tfdt, 4)
    return time

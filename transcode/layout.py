"""Where segments begin: known before a byte is made, so that every playlist is complete at once. Pure.

Encoded video has a keyframe wherever it is told to; copied video has those of the source. Sound is cut between its
packets, which last 1024 samples each, so its segments are whole numbers of them.
"""

import itertools
from bisect import bisect_right
from dataclasses import dataclass
from math import ceil

TARGET = 2.0  # seconds of a segment: a seek waits until one is whole; shorter ones cost more keyframes
LONGEST = 20.0  # seconds from one keyframe to the next; beyond it, copied segments would be too large to wait for
SOUND_RATE = 48_000  # samples a second
PACKET = 1024  # samples of an AAC packet
EARLY = 0.002  # seconds by which a cut may be missed: times are rounded to each container's own clock


@dataclass(frozen=True)
class Layout:
    """`starts`: seconds, the first 0; `end`: of the last. `early`: how much before its start a segment may begin.
    `delay`: how long after its decoding a picture is shown, where some are out of their order."""

    starts: tuple[float, ...]
    end: float
    early: float = EARLY
    delay: float = 0.0

    def __len__(self) -> int:
        return len(self.starts)

    def stop(self, number: int) -> float:
        return self.starts[number + 1] if number + 1 < len(self.starts) else self.end

    def duration(self, number: int) -> float:
        return self.stop(number) - self.starts[number]

    def at(self, seconds: float) -> int:
        """The segment that a sample of this time belongs to."""
        return max(bisect_right(self.starts, seconds + self.early) - 1, 0)

    @property
    def target_duration(self) -> int:
        """EXT-X-TARGETDURATION: no segment, rounded, is longer (RFC 8216 section 4.3.3.1)."""
        return max(1, *(ceil(self.duration(number)) for number in range(len(self))))


def regular(end: float) -> Layout:
    """One cut each TARGET seconds; a short rest belongs to the last segment."""
    count = max(1, round(end / TARGET))
    return Layout(tuple(TARGET * number for number in range(count)), max(end, 0.001))


def packets(end: float) -> Layout:
    """The same to the nearest packet of encoded sound."""
    plain = regular(end)
    starts = tuple(round(start * SOUND_RATE / PACKET) * PACKET / SOUND_RATE for start in plain.starts)
    return Layout(starts, plain.end, PACKET / SOUND_RATE / 2)


def on_keyframes(keyframes: tuple[float, ...], end: float, delay: float = 0.0) -> Layout:
    """Cuts on keyframes, TARGET apart or as little more as they allow."""
    starts = [0.0]
    for time in keyframes:
        if time - starts[-1] >= TARGET * 0.75:
            starts.append(time)
    if len(starts) > 1 and end - starts[-1] < TARGET / 4:
        starts.pop()
    gaps = (after - before for before, after in itertools.pairwise(keyframes))
    return Layout(tuple(starts), max(end, starts[-1] + 0.001), min(0.02, min(gaps, default=1.0) / 2), delay)


def longest_gap(keyframes: tuple[float, ...], end: float) -> float:
    """Seconds, of which the time to the first and from the last keyframe are part."""
    times = (0.0, *keyframes, end)
    return max(after - before for before, after in itertools.pairwise(times))

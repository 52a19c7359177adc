"""What is recorded, as the names of its files tell: purely.

The names are the only index there is. A segment is called by its start in UTC and its length in milliseconds, and
it lies in a folder of its day, so that a look at some hours reads few names:

    20261123/20261123T000105.123Z-10040.mp4

A database beside the files would have to be kept true to them, through crashes and full disks; a name is there
exactly when its file is.
"""

import re
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache

JOIN = 2000  # milliseconds between two segments that are still one stretch: an encoder was started again
LONGEST = 600_000  # milliseconds of one segment; the writer ends each long before
DAY = 86_400_000
LATEST = 253_402_300_799_999  # milliseconds: the end of the year 9999, past which a date has no such name

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAME = re.compile(r"(\d{8})T([01]\d|2[0-3])([0-5]\d)([0-5]\d)\.(\d{3})Z-([1-9]\d{0,5})\.mp4", re.ASCII)


@dataclass(frozen=True, order=True, slots=True)
class Segment:
    """`start`: Unix milliseconds; `duration`: milliseconds."""

    start: int
    duration: int

    @property
    def end(self) -> int:
        return self.start + self.duration

    @property
    def day(self) -> str:
        """The folder it lies in."""
        return day_of(self.start)

    @property
    def name(self) -> str:
        return f"{_utc(self.start):%Y%m%dT%H%M%S}.{self.start % 1000:03}Z-{self.duration}.mp4"


@dataclass(frozen=True, slots=True)
class Stretch:
    """Segments that follow each other without a gap. Unix milliseconds."""

    start: int
    end: int


def parse(name: str) -> Segment | None:
    """The segment of this name; None for what is no name of ours."""
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    day, hours, minutes, seconds, rest, duration = found.groups()
    midnight = _midnight(day)
    if midnight is None or int(duration) > LONGEST:
        return None
    return Segment(midnight + ((int(hours) * 60 + int(minutes)) * 60 + int(seconds)) * 1000 + int(rest), int(duration))


@lru_cache(1024)
def _midnight(day: str) -> int | None:
    """Thousands of segments share a day, and to read a date takes longer than all else of a name."""
    try:
        milliseconds = (datetime.strptime(day, "%Y%m%d").replace(tzinfo=UTC) - _EPOCH) // timedelta(milliseconds=1)
    except ValueError:
        return None
    return milliseconds if milliseconds >= 0 else None


def day_of(start: int) -> str:
    return f"{_utc(start):%Y%m%d}"


def days(start: int, end: int) -> list[str]:
    """The folders in which segments may lie that have a part of this span."""
    first, last = max(start - LONGEST, 0) // DAY, min(end, LATEST) // DAY
    return [day_of(day * DAY) for day in range(first, last + 1)]


def within(segments: Sequence[Segment], start: int, end: int) -> list[Segment]:
    """Those that have a part of the span from `start` up to, not including, `end`; `segments` in order."""
    first = bisect_left(segments, start - LONGEST, key=lambda segment: segment.start)
    last = bisect_left(segments, end, key=lambda segment: segment.start)
    return [segment for segment in segments[first:last] if segment.end > start]


def stretches(segments: Iterable[Segment]) -> list[Stretch]:
    """The segments, in order, as the stretches they make."""
    found: list[Stretch] = []
    for segment in segments:
        if found and segment.start - found[-1].end <= JOIN:
            found[-1] = Stretch(found[-1].start, max(found[-1].end, segment.end))
        else:
            found.append(Stretch(segment.start, segment.end))
    return found


def _utc(milliseconds: int) -> datetime:
    # Not fromtimestamp: a float of these has no exact milliseconds.
    return _EPOCH + timedelta(milliseconds=milliseconds)

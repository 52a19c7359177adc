"""What FFmpeg says on `-progress pipe:1`, as values. Pure.

The format is lines of key=value; a block ends with `progress=continue` or `progress=end` (fftools/ffmpeg.c,
print_report). `out_time_ms` has always held microseconds, so `out_time_us` is read. Both it and `speed` may be N/A.
"""

import re
from dataclasses import dataclass

LONGEST = 4096  # bytes without a line end, after which what says it is not FFmpeg
_TIME = re.compile(rb"-?[0-9]{1,18}")
_SPEED = re.compile(rb" *([0-9]{1,9}(?:\.[0-9]{1,9})?(?:e[+-]?[0-9]{1,2})?)x")
_COUNT = re.compile(rb"[0-9]{1,18}")


class NotProgress(Exception):
    """These bytes are not what FFmpeg writes with -progress."""


@dataclass(frozen=True)
class Progress:
    """One block. `time`: seconds of the output so far; `speed`: seconds of media a second; None: not said."""

    time: float | None = None
    speed: float | None = None
    frames: int | None = None
    ended: bool = False

    def percent(self, duration: float | None) -> float | None:
        """Of `duration` seconds, 0 to 100; 100 is for the end alone."""
        if self.ended:
            return 100.0
        if self.time is None or not duration or duration <= 0:
            return None
        return min(max(100.0 * self.time / duration, 0.0), 99.9)


class ProgressReader:
    """Fed bytes as they come, in any pieces."""

    def __init__(self) -> None:
        self._rest = b""
        self._block: dict[bytes, bytes] = {}

    def feed(self, data: bytes) -> list[Progress]:
        """The blocks that are now whole. Raises NotProgress."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > LONGEST:
            raise NotProgress("a line without an end")
        return [block for line in lines if (block := self._line(line)) is not None]

    def _line(self, line: bytes) -> Progress | None:
        key, equals, value = line.strip().partition(b"=")
        if not equals or len(line) > LONGEST:
            raise NotProgress("a line without key and value")
        if key != b"progress":
            # The keys of a block are few; one that goes on for ever is none.
            if len(self._block) > 100:
                raise NotProgress("a block without an end")
            self._block[key] = value
            return None
        block, self._block = self._block, {}
        return Progress(
            time=_microseconds(block.get(b"out_time_us", b"")),
            speed=_speed(block.get(b"speed", b"")),
            frames=int(count) if _COUNT.fullmatch(count := block.get(b"frame", b"")) else None,
            ended=value == b"end",
        )


def _microseconds(text: bytes) -> float | None:
    return max(int(text) / 1_000_000, 0.0) if _TIME.fullmatch(text) else None


def _speed(text: bytes) -> float | None:
    found = _SPEED.fullmatch(text)
    return float(found[1]) if found else None

"""Where a file's keyframes are and how long its streams are: asked of a child (index_child.py), kept in the cache."""

import json
import logging
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from mediastream import process
from mediastream.ffmpeg import STORED_FORMATS
from mediastream.limits import Limits
from mediastream.process import ChildTimeout

logger = logging.getLogger(__name__)
CHILD = Path(__file__).resolve().parent / "index_child.py"
DEADLINE = 30.0  # seconds
LIMITS = Limits(address_space=3 * 1024**3, cpu_seconds=30)
MOST = 16 * 1024 * 1024  # bytes of the answer; ten hours of keyframes each second are 400 KB


@dataclass(frozen=True)
class Length:
    """Of one stream, in seconds; None: the container does not say."""

    start: float | None
    duration: float | None


@dataclass(frozen=True)
class Index:
    """`keyframes`: of the first video stream, seconds, ascending; none if there is no index. `x264`: the version of
    x264 that encoded it, if it says so. `delay`: seconds from the decoding of its first picture until that is shown."""

    lengths: tuple[Length, ...] = ()
    keyframes: tuple[float, ...] = ()
    x264: int | None = None
    delay: float = 0.0

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Raises KeyError, TypeError or ValueError if `values` are not what the child prints."""
        lengths = tuple(Length(stream["start"], stream["duration"]) for stream in values["streams"])
        return cls(lengths, tuple(map(float, values["keyframes"])), values["x264"], float(values["delay"]))

    def to_json(self) -> bytes:
        values = asdict(self)
        return json.dumps({"streams": values.pop("lengths"), **values}).encode()

    def end(self, stream: int, otherwise: float) -> float:
        """Seconds from the file's start to the end of a stream; `otherwise`: where it does not say."""
        length = self.lengths[stream] if stream < len(self.lengths) else None
        if length is None or length.duration is None:
            return otherwise
        return (length.start or 0.0) + length.duration


async def read(path: Path) -> Index:
    """What the child says; an empty index if it fails, as then the file can still be encoded."""
    argv = [sys.executable, "-I", str(CHILD), str(path), ",".join(STORED_FORMATS)]
    try:
        finished = await process.run(argv, DEADLINE, LIMITS, MOST)
        if finished.returncode == 0:
            return Index.from_json(json.loads(finished.stdout))
        logger.warning("no index of %s: %s", path.name, finished.stderr[-500:])
    except (ChildTimeout, OSError, ValueError, KeyError, TypeError) as fault:
        logger.warning("no index of %s: %s", path.name, fault)
    return Index()

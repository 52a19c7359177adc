"""What a source gives, in FFmpeg's words."""

import re
from dataclasses import dataclass

_VIDEO = re.compile(r"Stream #0:\d+.*?: Video: (\w+)(.*)")
_SIZE = re.compile(r", ([1-9]\d*)x([1-9]\d*)\b")
_RATE = re.compile(r", ([\d.]+) fps\b")


@dataclass(frozen=True)
class Facts:
    """What came. `size`: (width, height); `rate`: pictures a second, as it says itself."""

    codec: str
    size: tuple[int, int] | None
    rate: float | None
    copied: bool


def facts_of(stderr: str, *, copied: bool) -> Facts:
    """Out of FFmpeg's description of its input, which comes before that of its output."""
    _, _, described = stderr.partition("Input #0")
    found = _VIDEO.search(re.split(r"Output #0|Stream mapping", described)[0])
    if found is None:
        return Facts("unknown", None, None, copied)
    size, rate = _SIZE.search(found[2]), _RATE.search(found[2])
    pixels = (int(size[1]), int(size[2])) if size is not None else None
    return Facts(found[1], pixels, float(rate[1]) if rate is not None else None, copied)

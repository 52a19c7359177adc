"""How an item's thumbnails are laid out: which times, which sprites, and the WebVTT that says so. Pure.

Each sprite is one JPEG with a grid of pictures; each cue names a rectangle of one by a spatial media fragment
(W3C Media Fragments URI 1.0, section 4.2.2), as hls.js, Video.js and JW Player read it.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

MOST = 300  # thumbnails of one item, however long
CLOSEST = 2.0  # seconds between two
COLUMNS, ROWS = 10, 5
EDGE = 160  # pixels of the longer edge
CAPTION = "WEBVTT\n"


@dataclass(frozen=True)
class Layout:
    """`interval`: seconds from one thumbnail to the next; `width`, `height`: pixels of one; `count`: of them all."""

    interval: float
    count: int
    width: int
    height: int
    duration: float

    @property
    def sprites(self) -> int:
        return math.ceil(self.count / (COLUMNS * ROWS))

    def shortened(self, sprites: int) -> "Layout":
        """The same if only so many sprites came out: the pictures may end before the sound."""
        return replace(self, count=min(self.count, sprites * COLUMNS * ROWS))

    def vtt(self, address: str) -> str:
        """`address` of a sprite, with `{}` for its number, relative to the WebVTT's own."""
        return "\n".join([CAPTION, *self._cues(address)])

    def _cues(self, address: str) -> Iterator[str]:
        for number in range(self.count):
            sprite, place = divmod(number, COLUMNS * ROWS)
            row, column = divmod(place, COLUMNS)
            start = number * self.interval
            # The last one stands for what is left, which may be less than an interval or half of one more.
            end = start + self.interval if number < self.count - 1 else max(self.duration, start + 0.001)
            box = f"{column * self.width},{row * self.height},{self.width},{self.height}"
            yield f"{clock(start)} --> {clock(end)}\n{address.format(sprite)}#xywh={box}\n"


def layout(duration: float, width: int, height: int, rotation: int) -> Layout:
    """For a video of `duration` seconds and `width` by `height` pixels as stored. Raises ValueError for none."""
    if not (math.isfinite(duration) and duration > 0 and width > 0 and height > 0):
        raise ValueError("a video without a length or size has no thumbnails")
    if rotation in (90, 270):
        width, height = height, width
    scale = EDGE / max(width, height)
    interval = max(CLOSEST, duration / MOST)
    count = min(max(round(duration / interval), 1), MOST)
    return Layout(interval, count, _even(width * scale), _even(height * scale), duration)


def _even(pixels: float) -> int:
    """4:2:0 needs even sizes; a very narrow picture is at least two wide."""
    return max(2 * round(pixels / 2), 2)


def clock(seconds: float) -> str:
    """As in WebVTT (W3C, section 4.1)."""
    whole = round(seconds * 1000)
    minutes, milliseconds = divmod(whole, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{milliseconds // 1000:02}.{milliseconds % 1000:03}"

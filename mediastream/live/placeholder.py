"""The picture that stands in for those that do not come: the last one, grey and dark, and words about it.

A viewer of MJPEG sees nothing but pictures, in any page and any program. So what is wrong is drawn into one,
of the same size, as programs take a stream's first size for all of it.
"""

import io
from functools import lru_cache

from PIL import Image, ImageDraw, ImageFont

from mediastream.live.command import FONT

MAX_PIXELS = 16 * 1024 * 1024  # of a picture that is drawn upon: it is held in memory for as long as it stands in
SIZE = (960, 540)  # where the last picture cannot be used
DIMMED = 0.45
QUALITY = 60


class Placeholder:
    """`last`: the JPEG to draw upon. Made and drawn in a thread: each takes some milliseconds."""

    def __init__(self, last: bytes) -> None:
        self._last = last
        self._ground: Image.Image | None = None

    def draw(self, text: str) -> bytes:
        if self._ground is None:
            self._ground = _ground(self._last)
        picture = self._ground.copy()
        pen = ImageDraw.Draw(picture)
        width, height = picture.size
        font = _fitting(text, width * 0.9, height / 12)
        box = pen.multiline_textbbox((width / 2, height / 2), text, font, anchor="mm", align="center")
        pad = font.size / 2
        pen.rectangle((box[0] - pad, box[1] - pad, box[2] + pad, box[3] + pad), fill=(0, 0, 0))
        pen.multiline_text((width / 2, height / 2), text, (255, 255, 255), font, anchor="mm", align="center")
        drawn = io.BytesIO()
        picture.save(drawn, "JPEG", quality=QUALITY)
        return drawn.getvalue()


def _ground(last: bytes) -> Image.Image:
    try:
        with Image.open(io.BytesIO(last), formats=["JPEG"]) as picture:
            if picture.width * picture.height <= MAX_PIXELS:
                return picture.convert("L").point(lambda value: value * DIMMED).convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):  # Pillow's for a broken one
        pass
    return Image.new("RGB", SIZE, (40, 40, 40))


def _fitting(text: str, width: float, height: float) -> ImageFont.FreeTypeFont:
    """As large as fits into that width, and lines no higher than that."""
    size = max(height, 8)
    wide = max(_font(100).getlength(line) for line in text.splitlines()) / 100
    return _font(max(int(min(size, width / wide)), 6))


@lru_cache(64)
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(FONT), size)


def reconnecting(seconds: float) -> str:
    return f"reconnecting\nlast picture {ago(seconds)} ago"


def ago(seconds: float) -> str:
    """In the largest unit of which there are two."""
    for unit, name in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * unit:
            return f"{seconds // unit:.0f} {name}"
    return f"{max(seconds, 0):.0f} s"

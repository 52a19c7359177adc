"""Smaller pictures for small tiles, each made once for all who want that size.

A wall shows sixteen cameras in tiles of a few hundred pixels; a whole picture for each is ten times the bytes.
A JPEG is read at a fraction of its size by the decoder itself (Pillow's draft mode), which makes this cheap.
"""

import asyncio
import io
from concurrent.futures import ThreadPoolExecutor
from weakref import WeakKeyDictionary

from PIL import Image, UnidentifiedImageError

from mediastream.live.frames import Frame

WIDTHS = (160, 320, 640, 1280)  # pixels; few, so that viewers share them
QUALITY = 75
MOST_PIXELS = 8192 * 8192

_threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="scaling")
# By picture: the sizes asked for so far. A picture nobody holds any more takes its sizes along.
_scaled: "WeakKeyDictionary[Frame, dict[int, asyncio.Future[bytes]]]" = WeakKeyDictionary()


def fitting(width: int) -> int | None:
    """The smallest of WIDTHS that fills `width` pixels; None: the picture as it is."""
    return next((one for one in WIDTHS if one >= width), None)


async def scaled(frame: Frame, width: int | None) -> bytes:
    """The JPEG at most `width` pixels wide, one of WIDTHS; as it is, if it is no wider or cannot be read."""
    if width is None:
        return frame.jpeg
    sizes = _scaled.setdefault(frame, {})
    if width not in sizes:
        sizes[width] = asyncio.get_running_loop().run_in_executor(_threads, _shrink, frame.jpeg, width)
    return await asyncio.shield(sizes[width])


def _shrink(jpeg: bytes, width: int) -> bytes:
    try:
        with Image.open(io.BytesIO(jpeg), formats=["JPEG"]) as picture:
            if picture.width <= width or picture.width * picture.height > MOST_PIXELS:
                return jpeg
            height = max(picture.height * width // picture.width, 1)
            picture.draft("RGB", (width, height))
            small = picture.resize((width, height), Image.Resampling.BILINEAR)
            made = io.BytesIO()
            small.save(made, "JPEG", quality=QUALITY)
            return made.getvalue()
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError):
        return jpeg  # the browser says more about a broken picture than we could

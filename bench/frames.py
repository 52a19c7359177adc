"""Pictures for the cameras of bench fanout: real JPEG, each another, and all of one size to the byte."""

import io
import os
from pathlib import Path

from PIL import Image

NUMBER = 25
COMMENT = b"\xff\xfe"  # a segment that decoders pass over (ITU-T T.81, B.2.4.5)


def make(folder: Path, size: int) -> list[Path]:
    """Files in `folder`: pictures of `size` bytes."""
    folder.mkdir()
    paths = [folder / f"{number:02}.jpg" for number in range(NUMBER)]
    for path in paths:
        path.write_bytes(of_size(size))
    return paths


def of_size(size: int) -> bytes:
    """Noise, as a small picture of which takes as many bytes as a large one of something: filled up by a comment."""
    side = 16
    picture = b""
    while len(larger := noise(side)) + 64 <= size:
        picture, side = larger, side + 8
    missing = size - len(picture)
    comments = b""
    while missing > 0:
        part = missing if missing <= 60_000 else missing // 2
        comments += COMMENT + (part - 2).to_bytes(2, "big") + bytes(part - 4)
        missing -= part
    return picture[:2] + comments + picture[2:]


def noise(side: int) -> bytes:
    written = io.BytesIO()
    Image.frombytes("L", (side, side), os.urandom(side * side)).convert("RGB").save(written, "JPEG", quality=80)
    return written.getvalue()

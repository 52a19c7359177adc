"""Thumbnails as kept on disk: sprites, and their layout in index.json."""

import json
import uuid
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path

from mediastream.errors import Unknown
from transcode.derived import THUMBNAILS
from transcode.sprites import Layout

INDEX = "index.json"


def keep(media: uuid.UUID, name: str, drafted: Path, layout: Layout) -> None:
    (drafted / INDEX).write_text(json.dumps(asdict(layout)))
    THUMBNAILS.keep(media, name, drafted)


def layout_of(media: uuid.UUID, name: str) -> Layout:
    """Waits for the disk. Raises Unknown if there are none."""
    return _read(THUMBNAILS.folder_of(media, name) / INDEX)


@lru_cache(maxsize=256)
def _read(path: Path) -> Layout:
    """A folder never changes once it is in place."""
    try:
        return Layout(**json.loads(path.read_text()))
    except FileNotFoundError:
        raise Unknown("This item has no thumbnails; they are made after its upload, for video alone.") from None

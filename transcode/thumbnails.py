"""Thumbnails as kept on disk: a folder for each stored file, put in place whole, its layout in index.json.

Below the item's id, the folder has the stored file's name, which is never used twice: an item whose file was replaced
has no thumbnails until its own are there, and caches cannot take one's for another's.
"""

import json
import logging
import os
import secrets
import shutil
import uuid
from contextlib import suppress
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path

from django.conf import settings
from django.db import transaction

from media_library.models import Media
from mediastream.errors import Unknown
from transcode.sprites import Layout

logger = logging.getLogger(__name__)
INDEX = "index.json"


def token(name: str) -> str:
    """Of an item's file, by its stored name."""
    return Path(name).stem


def folder_of(media: uuid.UUID, name: str) -> Path:
    return Path(settings.THUMBNAILS) / media.hex / token(name)


def draft(media: uuid.UUID) -> Path:
    """An empty folder beside where they will be; `keep` or `drop` ends it."""
    folder = Path(settings.THUMBNAILS) / media.hex / f".{secrets.token_hex(8)}"
    folder.mkdir(parents=True)
    return folder


def keep(media: uuid.UUID, name: str, drafted: Path, layout: Layout) -> None:
    """Put them in place, and take those of former files, and what a killed worker left, away."""
    (drafted / INDEX).write_text(json.dumps(asdict(layout)))
    target = folder_of(media, name)
    try:
        os.rename(drafted, target)
    except OSError:  # made twice: the first are out already under their names, and as good
        if not (target / INDEX).exists():
            raise
    for other in target.parent.iterdir():
        if other != target:
            drop(other)


def drop(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


def there(media: uuid.UUID, name: str) -> bool:
    return (folder_of(media, name) / INDEX).exists()


def layout_of(media: uuid.UUID, name: str) -> Layout:
    """Waits for the disk. Raises Unknown if there are none."""
    return _read(folder_of(media, name) / INDEX)


@lru_cache(maxsize=256)
def _read(path: Path) -> Layout:
    """A folder never changes once it is in place."""
    try:
        return Layout(**json.loads(path.read_text()))
    except FileNotFoundError:
        raise Unknown("This item has no thumbnails; they are made after its upload, for video alone.") from None


def forget(sender: type[Media], instance: Media, **_: object) -> None:
    """post_delete of Media."""
    folder = Path(settings.THUMBNAILS) / instance.pk.hex

    def remove() -> None:
        with suppress(OSError):
            drop(folder)

    transaction.on_commit(remove)

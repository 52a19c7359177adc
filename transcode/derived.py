"""What was made of a stored file once and is kept as long as that: thumbnails and subtitles. Not a cache: it is never
swept, and goes with its item.

Below the item's id, a folder has the stored file's name, which is never used twice: an item whose file was replaced has
none of it until its own is there, and caches cannot take one's for another's. Folders are put in place whole.
"""

import os
import secrets
import shutil
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.db import transaction

from media_library.models import Media


def token(name: str) -> str:
    """Of an item's file, by its stored name."""
    return Path(name).stem


@dataclass(frozen=True)
class Shelf:
    """`kind`: a folder of the media folder."""

    kind: str

    def of_item(self, media: uuid.UUID) -> Path:
        return Path(settings.MEDIA_ROOT) / self.kind / media.hex

    def folder_of(self, media: uuid.UUID, name: str) -> Path:
        return self.of_item(media) / token(name)

    def there(self, media: uuid.UUID, name: str) -> bool:
        return self.folder_of(media, name).exists()

    def draft(self, media: uuid.UUID) -> Path:
        """An empty folder beside where they will be; `keep` or `drop` ends it."""
        folder = self.of_item(media) / f".{secrets.token_hex(8)}"
        folder.mkdir(parents=True)
        return folder

    def keep(self, media: uuid.UUID, name: str, drafted: Path) -> None:
        """Put them in place, and take those of former files, and what a killed worker left, away."""
        target = self.folder_of(media, name)
        try:
            os.rename(drafted, target)
        except OSError:  # made twice: the first are out already under their names, and as good
            if not target.exists():
                raise
        for other in target.parent.iterdir():
            if other != target:
                drop(other)


THUMBNAILS = Shelf("thumbnails")
SUBTITLES = Shelf("subtitles")


def drop(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


def forget(sender: type[Media], instance: Media, **_: object) -> None:
    """post_delete of Media."""
    folders = [shelf.of_item(instance.pk) for shelf in (THUMBNAILS, SUBTITLES)]

    def remove() -> None:
        for folder in folders:
            with suppress(OSError):
                drop(folder)

    transaction.on_commit(remove)

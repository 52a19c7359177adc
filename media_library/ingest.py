"""The one door by which a file becomes an item: the admin's form, `add_media` and the demo all use it.

The order is what keeps it whole: look at the file while it is still temporary (a bad one is refused and
leaves nothing), store it, write the row; when the row cannot be written, take the file away again.
"""

import functools
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.core.files.base import File
from django.core.files.storage import default_storage
from django.db import transaction

from media_library.facts import Facts
from media_library.models import Media, State
from media_library.probe import ProbeFailed, probe_now
from media_library.signals import media_ready
from mediastream.access import Visibility
from mediastream.errors import NotMedia
from mediastream.http.filename import printable

logger = logging.getLogger(__name__)
MAX_NAME = 255


@dataclass(frozen=True)
class Inspection:
    """What the probe said of a file: facts, or why it could not say."""

    facts: Facts | None
    reason: str = ""

    def apply(self, media: Media) -> None:
        if self.facts is not None:
            media.set_facts(self.facts)
        else:
            media.set_failed(self.reason)


def inspect(path: Path) -> Inspection:
    """Raises NotMedia for a file that must be refused."""
    if path.stat().st_size == 0:
        raise NotMedia("This file is empty.")
    try:
        return Inspection(probe_now(path))
    except ProbeFailed as fault:
        logger.warning("probe of %s failed: %s", path.name, fault)
        return Inspection(None, str(fault))


def describe(media: Media, name: str, size: int) -> None:
    """Fill in what the sender's name for the file tells. Names are cut so that their suffix survives."""
    path = Path(printable(name))
    media.original_name = path.stem[: MAX_NAME - len(path.suffix[:20])] + path.suffix[:20]
    media.size = size
    media.title = media.title or path.stem.replace("_", " ")[:200]


def save(media: Media, *, wait: bool = False) -> None:
    """Store the file of a new or changed item, then its row; a file whose row failed is taken away again.

    `wait`: until its picture is made, for callers that nobody watches."""
    replaced = Media.objects.filter(pk=media.pk).values_list("file", "poster").first()
    changed = replaced is None or replaced[0] != media.file.name
    if changed:
        media.poster = ""  # it showed the former content; media_ready makes another
        _store(media)
    try:
        with transaction.atomic():
            media.save()
    except BaseException:
        if changed:
            forget(media.file.name or "")
        raise
    if changed:
        transaction.on_commit(functools.partial(forget, *(replaced or ())))
        tell_ready(media, wait=wait)


def _store(media: Media) -> None:
    """Put the file in its place before the row's transaction: a long copy inside would keep all others from
    writing, and Django would make it there."""
    if not media.file._committed:  # type: ignore[attr-defined]
        media.file.save(media.file.name or "", media.file.file, save=False)


def tell_ready(media: Media, *, wait: bool = False) -> None:
    """Let higher floors do their part; their failure is theirs, the item is stored."""
    if media.state != State.READY:
        return
    for _receiver, outcome in media_ready.send_robust(Media, media=media, wait=wait):
        if isinstance(outcome, Exception):
            logger.error("after storing %s: %s", media.pk, outcome)


def probe_again(media: Media) -> None:
    """Retry for an item that is pending or failed; the row says how it went."""
    try:
        inspect(media.path).apply(media)
    except NotMedia as fault:
        media.set_failed(fault.detail)
    except OSError as fault:
        media.set_failed(f"The file cannot be read: {fault.strerror}.")
    media.save(update_fields=["container", "content_type", "duration", "streams", "state", "reason"])
    tell_ready(media)


def add_file(
    path: Path,
    *,
    title: str = "",
    visibility: str = Visibility.MEMBERS,
    probe: bool = True,
    owner: Any = None,
) -> Media:
    """Copy a local file into the library. Raises NotMedia, or OSError if it cannot be read or stored."""
    media = Media(title=title, visibility=visibility, owner=owner)
    if probe:
        inspect(path).apply(media)
    describe(media, path.name, path.stat().st_size)
    with path.open("rb") as content:
        media.file = File(content, name=path.name)
        save(media, wait=True)
    return media


def forget(*names: str) -> None:
    """Delete stored files by name. A stream that is open keeps its descriptor and ends in peace."""
    for name in names:
        if name:
            default_storage.delete(name)

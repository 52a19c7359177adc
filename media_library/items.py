"""What byte requests need to know of a stored item, as a frozen value kept in memory (mediastream/rows.py)."""

import uuid
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.core.files.storage import default_storage
from django.http import HttpRequest
from django.urls import reverse

from media_library.facts import Facts, StreamFacts
from media_library.models import Media, State
from mediastream import access
from mediastream.errors import NotReady, Unknown
from mediastream.rows import Rows
from mediastream.streams import Label


@dataclass(frozen=True)
class Item:
    """`name` and `poster`: as stored, \"\" for none. `facts`: what the probe found."""

    id: uuid.UUID
    title: str
    owner_id: int | None
    visibility: str
    name: str
    original_name: str
    poster: str
    state: str
    reason: str
    facts: Facts

    @classmethod
    def of(cls, media: Media) -> "Item":
        return cls(
            media.pk, str(media), media.owner_id, media.visibility, media.file.name or "", media.original_name,
            media.poster.name or "", media.state, media.reason, media.facts,
        )  # fmt: skip

    @property
    def path(self) -> Path:
        return Path(default_storage.path(self.name))

    @property
    def video(self) -> StreamFacts | None:
        return next((stream for stream in self.facts.streams if stream.kind == "video"), None)

    def label(self, kind: str) -> Label:
        return Label(kind, str(self.id))

    def require_ready(self) -> None:
        """Raises NotReady with the reason if it cannot be played."""
        if self.state != State.READY:
            raise NotReady(f"“{self.title}” cannot be played yet: {self.reason or 'it has not been probed'}")


def _load(ids: Collection[uuid.UUID]) -> dict[uuid.UUID, Item]:
    return {media.pk: Item.of(media) for media in Media.objects.filter(pk__in=ids)}


items: Rows[uuid.UUID, Item] = Rows("media", _load, uuid.UUID)


async def right_to(request: HttpRequest, media_id: uuid.UUID) -> access.Right[Item]:
    """The visitor's right to an item. Raises Unknown, SignInNeeded or NoRight."""
    right = await access.admit(request, items, media_id, lambda: reverse("file", args=[media_id]).removesuffix("file"))
    if right is None:
        raise Unknown("There is no such item; it may have been deleted.")
    return right


async def right_to_named(request: HttpRequest, text: str) -> access.Right[Item]:
    """The same by an id as it is written in addresses, and in no other way."""
    try:
        media_id = uuid.UUID(text)
    except ValueError:
        media_id = None
    if media_id is None or str(media_id) != text:
        raise Unknown("There is no such item; it may have been deleted.")
    return await right_to(request, media_id)


def item_changed(instance: Media, using: str, **_: Any) -> None:
    """post_save and post_delete of Media."""
    items.changed(instance.pk, using)

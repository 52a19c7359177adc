"""Each item has a room to chat in: `watch.` and its id."""

from typing import Any

from django.urls import reverse

from media_library.items import right_to_named
from media_library.models import Media
from mediastream.chat import rooms

KIND = "watch"


def register() -> None:
    rooms.register(KIND, rooms.Kind(right_to_named, lambda media_id: reverse("watch", args=[media_id])))


def room_of(media: Media) -> str:
    return f"{KIND}.{media.pk}"


def forget_room(instance: Media, **_: Any) -> None:
    """post_delete of Media."""
    rooms.drop(KIND, instance.pk)

"""Each camera has a room to chat in: `live.` and the number of its row."""

from typing import Any

from django.urls import reverse

from mediastream.chat import rooms
from mediastream.live.known import right_to_numbered, slug_of
from mediastream.live.models import Camera

KIND = "live"


def register() -> None:
    rooms.register(KIND, rooms.Kind(right_to_numbered, _page))


def _page(number: str) -> str:
    slug = slug_of(number)
    return reverse("live:camera", args=[slug]) if slug else ""


def room_of(camera: Camera) -> str:
    return f"{KIND}.{camera.pk}"


def forget_room(instance: Camera, **_: Any) -> None:
    """post_delete of Camera."""
    rooms.drop(KIND, instance.pk)

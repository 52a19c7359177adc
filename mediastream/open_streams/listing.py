"""The open streams as data: which there are, whose and of what, and how fast they go.

A stream knows ids alone. The names to them are asked of the database, for those that are shown.
"""

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.urls import reverse

from media_library.models import Media
from mediastream.live.models import Camera
from mediastream.streams import Stream

MOST = 100  # shown; the others are counted
OF_CAMERAS = ("mjpeg", "video", "wall", "recording")


@dataclass(frozen=True)
class Seen:
    """One stream at one look."""

    number: int
    kind: str
    item: str
    whose: int | None
    seconds: float
    bytes: int

    @classmethod
    def of(cls, stream: Stream) -> "Seen":
        lasted = time.monotonic() - stream.started
        return cls(stream.number, stream.label.kind, stream.label.item, stream.whose, lasted, stream.bytes)


@dataclass(frozen=True)
class Names:
    """`people` by id; `things`: title and address by id or slug."""

    people: dict[int, str]
    things: dict[str, tuple[str, str]]


def told(seen: list[Seen], before: dict[int, int], elapsed: float, names: Names) -> dict[str, Any]:
    """`before`: bytes by number, `elapsed` seconds ago."""
    return {
        "open": len(seen),
        "kinds": dict(Counter(stream.kind for stream in seen).most_common()),
        "rate": _rate(seen, before, elapsed),
        "streams": [_line(stream, before, elapsed, names) for stream in shown(seen)],
    }


def shown(seen: list[Seen]) -> list[Seen]:
    """The latest, in the order they have begun."""
    return sorted(seen, key=lambda stream: stream.number)[-MOST:]


def _line(stream: Seen, before: dict[int, int], elapsed: float, names: Names) -> dict[str, Any]:
    title, address = names.things.get(stream.item, (stream.item, ""))
    return {
        "number": stream.number, "kind": stream.kind, "title": title, "address": address,
        "who": names.people.get(stream.whose, str(stream.whose)) if stream.whose is not None else "",
        "seconds": round(stream.seconds), "bytes": stream.bytes, "rate": _rate([stream], before, elapsed),
    }  # fmt: skip


def _rate(streams: Iterable[Seen], before: dict[int, int], elapsed: float) -> int:
    """Bytes a second; of those that have begun since, all they have sent."""
    return round(sum(stream.bytes - before.get(stream.number, 0) for stream in streams) / elapsed)


@sync_to_async
def names_of(seen: list[Seen]) -> Names:
    people = {stream.whose for stream in seen} - {None}
    users = get_user_model()._default_manager.in_bulk(people)
    slugs = {stream.item for stream in seen if stream.kind in OF_CAMERAS}
    cameras = Camera.objects.filter(slug__in=slugs)
    things = {camera.slug: (camera.name, camera.get_absolute_url()) for camera in cameras}
    ids = [found for stream in seen if (found := _uuid(stream.item)) is not None]
    for pk, title in Media.objects.filter(pk__in=ids).values_list("pk", "title"):
        things[str(pk)] = title or str(pk), reverse("watch", args=[pk])
    return Names({pk: user.get_username() for pk, user in users.items()}, things)


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None

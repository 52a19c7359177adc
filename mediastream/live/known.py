"""What requests need to know of a camera, as a frozen value kept in memory (mediastream/rows.py)."""

import re
from collections.abc import Collection
from dataclasses import dataclass

from asgiref.sync import sync_to_async
from django.http import HttpRequest
from django.urls import reverse

from mediastream import access
from mediastream.errors import Unknown
from mediastream.live.models import Camera
from mediastream.live.terms import Terms
from mediastream.rows import Rows


@dataclass(frozen=True)
class KnownCamera:
    """A camera belongs to no one: private means administrators."""

    slug: str
    terms: Terms
    pk: int
    record: bool

    @property
    def visibility(self) -> str:
        return self.terms.visibility

    @property
    def owner_id(self) -> int | None:
        return None


def _load(slugs: Collection[str]) -> dict[str, KnownCamera]:
    found = Camera.objects.filter(slug__in=slugs)
    return {row.slug: KnownCamera(row.slug, row.terms, row.pk, row.record) for row in found}


cameras: Rows[str, KnownCamera] = Rows("camera", _load, str)


async def right_to(request: HttpRequest, slug: str) -> access.Right[KnownCamera]:
    """The visitor's right to a camera. Raises Unknown, SignInNeeded or NoRight."""
    right = await access.admit(request, cameras, slug, lambda: reverse("live:camera", args=[slug]))
    if right is None:
        raise Unknown(f"There is no camera “{slug}”; /live/ lists those there are.")
    return right


async def right_to_numbered(request: HttpRequest, text: str) -> access.Right[KnownCamera]:
    """The same by the number of its row, which stays when the camera is renamed and is never given again."""
    slug = await sync_to_async(slug_of)(text)
    right = await right_to(request, slug) if slug else None
    if right is None or str(right.item.pk) != text:
        raise Unknown("There is no such camera; /live/ lists those there are.")
    return right


def slug_of(text: str) -> str:
    """Of the camera with this number; "" if there is none."""
    if not re.fullmatch(r"[1-9][0-9]{0,17}", text):
        return ""
    return Camera.objects.filter(pk=int(text)).values_list("slug", flat=True).first() or ""

"""What requests need to know of a camera, as a frozen value kept in memory (mediastream/rows.py)."""

from collections.abc import Collection
from dataclasses import dataclass

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

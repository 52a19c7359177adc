"""What requests need to know of a topic, as a frozen value kept in memory (mediastream/rows.py), and who may."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from django.conf import settings
from django.http import HttpRequest
from django.utils.crypto import constant_time_compare, salted_hmac

from mediastream import access
from mediastream.errors import NoRight, SignInNeeded, Unknown
from mediastream.feeds import families
from mediastream.feeds.models import Topic
from mediastream.feeds.terms import Terms
from mediastream.rows import Rows


@dataclass(frozen=True)
class KnownTopic:
    """A topic belongs to no one: private means administrators."""

    name: str
    visibility: str
    terms: Terms
    key_field: str
    token_version: int

    @property
    def owner_id(self) -> int | None:
        return None

    @property
    def token(self) -> str:
        """With which scripts publish. It is made of the site's key, stored nowhere, and ends with its version."""
        said = f"{self.name} {self.token_version}"
        return salted_hmac("mediastream.feeds", said, settings.SECRET_KEY, algorithm="sha256").hexdigest()[:40]


def known(row: Topic) -> KnownTopic:
    return KnownTopic(row.name, row.visibility, row.terms, row.key_field, row.token_version)


def _load(names: Collection[str]) -> dict[str, KnownTopic]:
    return {row.name: known(row) for row in Topic.objects.filter(name__in=names)}


topics: Rows[str, KnownTopic] = Rows("topic", _load, str)


async def right_to(request: HttpRequest, name: str) -> access.Right[KnownTopic]:
    """The visitor's right to read a topic. Raises Unknown, SignInNeeded or NoRight."""
    right = await access.admit(request, topics, name, lambda: f"/feeds/{quote(name, safe='')}/")
    if right is None:
        raise Unknown(f"There is no topic “{name}”; /feeds/ lists those there are.")
    return right


@dataclass(frozen=True)
class Reading:
    """A topic that a visitor may read, and the right by which they may."""

    name: str
    terms: Terms
    right: access.Right[Any]


async def reading(request: HttpRequest, name: str) -> Reading:
    """Of a topic with a row, or of a family's. Raises Unknown, SignInNeeded or NoRight."""
    found = families.of(name)
    if found is not None:
        family, rest = found
        return Reading(name, family.terms, await family.right(request, rest))
    right = await right_to(request, name)
    return Reading(name, right.item.terms, right)


async def to_publish(request: HttpRequest, name: str) -> KnownTopic:
    """The topic, if the request has its token. Raises SignInNeeded, NoRight.

    Whether there is such a topic is not told to who has no token.
    """
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise SignInNeeded("Publishing takes the topic's token: Authorization: Bearer TOKEN (see /admin/feeds/topic/).")
    topic = await topics.get(name)
    if topic is None or not constant_time_compare(token.strip(), topic.token):
        raise NoRight("This is not the topic's token; an administrator finds it at /admin/feeds/topic/.")
    return topic

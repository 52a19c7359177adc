"""Who is asking: by ticket, else by session.

What access.py needs to know of a user is kept as rows (rows.py), so that a request with a ticket asks neither
for the session nor, most times, the database. Anonymous visitors need no row.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from django.contrib.auth import get_user_model
from django.db import DEFAULT_DB_ALIAS
from django.db.models import F
from django.http import HttpRequest
from django.utils.crypto import salted_hmac

from mediastream import tickets
from mediastream.models import TicketEpoch
from mediastream.rows import Rows


@dataclass(frozen=True)
class Visitor:
    """Named as Django's user names them, as access.py takes either. `version` changes when tickets end."""

    pk: int | None
    is_active: bool
    is_superuser: bool
    version: str

    @property
    def is_authenticated(self) -> bool:
        return self.pk is not None


NOBODY = Visitor(None, False, False, "")


def _load(ids: Collection[int]) -> dict[int, Visitor]:
    epochs = dict(TicketEpoch.objects.filter(pk__in=ids).values_list("pk", "epoch"))
    users = get_user_model()._default_manager.in_bulk(ids)
    return {pk: _visitor(user, epochs.get(pk, 0)) for pk, user in users.items()}


def _visitor(user: Any, epoch: int) -> Visitor:
    version = salted_hmac("mediastream.visitors", f"{user.password} {epoch}", algorithm="sha256").hexdigest()[:16]
    return Visitor(user.pk, user.is_active, getattr(user, "is_superuser", False), version)


visitors: Rows[int, Visitor] = Rows("user", _load, int)


def ticket_texts(request: HttpRequest) -> list[str]:
    """What the request brings as tickets, good or not."""
    brought = request.GET.get(tickets.NAME), request.COOKIES.get(tickets.NAME)
    return [text for text in brought if text]


async def by_ticket(text: str, path: str) -> Visitor | None:
    """Whose ticket it is, for what lies under `path`; None if it is no good, or no longer."""
    claim = tickets.read(text, path)
    visitor = await visitors.get(claim.user) if claim is not None else None
    if claim is None or visitor is None or not visitor.is_active or visitor.version != claim.version:
        return None
    return visitor


async def by_session(request: HttpRequest) -> Visitor:
    """Asks the database."""
    user = await request.auser()
    visitor = await visitors.get(user.pk) if user.is_authenticated else None
    return visitor if visitor is not None and visitor.is_active else NOBODY


def end_tickets(user: Any, **_: Any) -> None:
    """user_logged_out: whoever has left a shared computer leaves no ticket behind. Their other devices come by
    their sessions, and get new ones."""
    if user is None:
        return
    TicketEpoch.objects.get_or_create(user=user)
    TicketEpoch.objects.filter(user=user).update(epoch=F("epoch") + 1)
    visitors.changed(user.pk, DEFAULT_DB_ALIAS)


def user_changed(instance: Any, using: str, update_fields: Collection[str] | None = None, **_: Any) -> None:
    """post_save and post_delete of the user model. Every login saves `last_login`, which changes nothing here."""
    if update_fields is None or set(update_fields) != {"last_login"}:
        visitors.changed(instance.pk, using)

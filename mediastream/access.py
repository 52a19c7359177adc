"""Who may see what: the only such function, asked by every view that gives a byte away.

Access is never a middleware: each byte view asks here, so that every server, WSGI or ASGI, and Django's
test clients ask it too. `may_see` and `visible_to` are one rule in two forms, for a row and for a query.
"""

from typing import TYPE_CHECKING, TypeAlias

from django.conf import settings
from django.contrib.auth import get_user
from django.db.models import Q, TextChoices
from django.http import HttpRequest
from django.utils.module_loading import import_string

from mediastream.errors import NoRight, SignInNeeded

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser, AnonymousUser

    Visitor: TypeAlias = AbstractBaseUser | AnonymousUser

UPLOAD_PERMISSION = "media_library.add_media"


class Visibility(TextChoices):
    """Public: anyone. Members: whoever is signed in. Private: the owner and administrators."""

    PUBLIC = "public"
    MEMBERS = "members"
    PRIVATE = "private"


def is_administrator(visitor: "Visitor") -> bool:
    return bool(visitor.is_active and getattr(visitor, "is_superuser", False))


def may_see(visitor: "Visitor", visibility: str, owner_id: int | None) -> bool:
    """Whether `visitor` may have the bytes of an item; `owner_id` None: it belongs to no one."""
    if visibility == Visibility.PUBLIC:
        return True
    if not (visitor.is_authenticated and visitor.is_active):
        return False
    if visibility == Visibility.MEMBERS or is_administrator(visitor):
        return True
    return owner_id is not None and owner_id == visitor.pk


def visible_to(visitor: "Visitor") -> Q:
    """The same rule as a filter over rows with `visibility` and `owner`."""
    if not (visitor.is_authenticated and visitor.is_active):
        return Q(visibility=Visibility.PUBLIC)
    if is_administrator(visitor):
        return Q()
    return Q(visibility__in=[Visibility.PUBLIC, Visibility.MEMBERS]) | Q(owner=visitor.pk)


def require(visitor: "Visitor", visibility: str, owner_id: int | None) -> None:
    """Raises SignInNeeded (401) or NoRight (403) unless `visitor` may see it."""
    if not may_see(visitor, visibility, owner_id):
        raise NoRight if visitor.is_authenticated else SignInNeeded


async def admit(request: HttpRequest, visibility: str, owner_id: int | None) -> None:
    """`require` for the visitor of a request, who is looked up only where it matters who it is."""
    if visibility != Visibility.PUBLIC:
        require(await request.auser(), visibility, owner_id)


def session_may_upload(session_key: str | None) -> bool:
    """Whether a session, known by its key alone, belongs to somebody who may upload. Asks the database."""
    request = HttpRequest()
    request.session = import_string(f"{settings.SESSION_ENGINE}.SessionStore")(session_key)
    return bool(get_user(request).has_perm(UPLOAD_PERMISSION))


def cache_control(visibility: str, max_age: int) -> str:
    """What caches may keep of an item's bytes. `max_age`: seconds."""
    return f"public, max-age={max_age}" if visibility == Visibility.PUBLIC else "private, no-cache"

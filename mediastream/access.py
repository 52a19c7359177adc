"""Who may see what: the only such function, asked by every view that gives a byte away.

Access is never a middleware: each byte view asks here, so that every server, WSGI or ASGI, and Django's
test clients ask it too. `may_see` and `visible_to` are one rule in two forms, for a row and for a query.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeAlias, TypeVar
from weakref import WeakValueDictionary

from django.conf import settings
from django.contrib.auth import get_user
from django.db.models import Q, TextChoices
from django.http import HttpRequest, HttpResponseBase
from django.utils.module_loading import import_string

from mediastream import tickets
from mediastream.errors import Fault, NoRight, SignInNeeded, Unknown
from mediastream.rows import Rows
from mediastream.visitors import NOBODY, Visitor, by_session, by_ticket, ticket_texts, visitors

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser, AnonymousUser

    Someone: TypeAlias = AbstractBaseUser | AnonymousUser | Visitor

UPLOAD_PERMISSION = "media_library.add_media"
TICKET_OVER = "Your ticket for this has expired or was revoked: sign in at /accounts/login/, or reload the page."


class Visibility(TextChoices):
    """Public: anyone. Members: whoever is signed in. Private: the owner and administrators."""

    PUBLIC = "public"
    MEMBERS = "members"
    PRIVATE = "private"


def is_administrator(visitor: "Someone") -> bool:
    return bool(visitor.is_active and getattr(visitor, "is_superuser", False))


def may_see(visitor: "Someone", visibility: str, owner_id: int | None) -> bool:
    """Whether `visitor` may have the bytes of an item; `owner_id` None: it belongs to no one."""
    if visibility == Visibility.PUBLIC:
        return True
    if not (visitor.is_authenticated and visitor.is_active):
        return False
    if visibility == Visibility.MEMBERS or is_administrator(visitor):
        return True
    return owner_id is not None and owner_id == visitor.pk


def visible_to(visitor: "Someone") -> Q:
    """The same rule as a filter over rows with `visibility` and `owner`."""
    if not (visitor.is_authenticated and visitor.is_active):
        return Q(visibility=Visibility.PUBLIC)
    if is_administrator(visitor):
        return Q()
    return Q(visibility__in=[Visibility.PUBLIC, Visibility.MEMBERS]) | Q(owner=visitor.pk)


def require(visitor: "Someone", visibility: str, owner_id: int | None) -> None:
    """Raises SignInNeeded (401) or NoRight (403) unless `visitor` may see it."""
    if not may_see(visitor, visibility, owner_id):
        raise NoRight if visitor.is_authenticated else SignInNeeded


class Guarded(Protocol):
    """A row that has a visibility: an item or a camera."""

    @property
    def visibility(self) -> str: ...
    @property
    def owner_id(self) -> int | None: ...


Item = TypeVar("Item", bound=Guarded)


@dataclass(frozen=True)
class Right(Generic[Item]):
    """Why a visitor has an item's bytes: the rows it was read from. `path`: where the ticket is good."""

    rows: Rows[Any, Item]
    key: Hashable
    item: Item
    visitor: Visitor
    path: str
    ticket: str | None

    def holds(self) -> bool:
        """Whether the visitor still may, by the rows as last seen, which are looked after from now on. An open
        stream ends when this is False.

        It stands as long as a ticket would: a new password, or signing out, ends what is under way too.
        """
        for rows, key in self._hangs_on():
            rows.hold(key)
        return self._lost() is None

    def check(self) -> None:
        """After a wait: raises Unknown, SignInNeeded or NoRight if it holds no longer."""
        lost = self._lost()
        if lost is not None:
            raise lost

    def _hangs_on(self) -> list[tuple[Rows[Any, Any], Hashable]]:
        whose = [] if self.visitor.pk is None else [(visitors, self.visitor.pk)]
        return [(self.rows, self.key), *whose]

    def _lost(self) -> Fault | None:
        """Why it holds no longer."""
        if self.rows.gone(self.key):
            return Unknown("This has been deleted.")
        item = self.rows.last(self.key) or self.item
        if item.visibility == Visibility.PUBLIC:
            return None
        if self.visitor.pk is None:
            return SignInNeeded()
        visitor = visitors.last(self.visitor.pk) or self.visitor
        known = visitor.is_active and visitor.version == self.visitor.version
        if visitors.gone(self.visitor.pk) or not known:
            return SignInNeeded(TICKET_OVER)
        return None if may_see(visitor, item.visibility, item.owner_id) else NoRight()

    def unchanged(self) -> bool:
        """Whether every row is the very one it was. A grant (grants.py) stands as long as this is True."""
        if self.rows.known(self.key) is not self.item:
            return False
        return self.visitor.pk is None or visitors.known(self.visitor.pk) is self.visitor

    def link(self, address: str) -> str | None:
        """`address`, one of the item's, for players without this browser's cookies. None: it needs no ticket."""
        if self.visitor.pk is None:
            return None
        return f"{address}?{tickets.NAME}={tickets.issue(self.visitor.pk, self.visitor.version, self.path)}"

    def give_ticket(self, request: HttpRequest, response: HttpResponseBase) -> None:
        """Let the browser's next requests for this item come without their session being asked for."""
        if self.ticket is not None:
            response.set_cookie(
                tickets.NAME, self.ticket, max_age=tickets.LIFE, path=self.path, secure=request.is_secure(),
                httponly=True, samesite="Lax",
            )  # fmt: skip


# The right of whoever comes to what is public: one for all who have it, so that it is asked once whether it holds.
_public: "WeakValueDictionary[tuple[Rows[Any, Any], Hashable], Right[Any]]" = WeakValueDictionary()


def _anybodys(rows: Rows[Any, Item], key: Hashable, item: Item) -> Right[Item]:
    right = _public.get((rows, key))
    if right is None or right.item is not item:
        right = _public[rows, key] = Right(rows, key, item, NOBODY, "", None)
    return right


async def admit(
    request: HttpRequest, rows: Rows[Any, Item], key: Hashable, below: Callable[[], str]
) -> Right[Item] | None:
    """The visitor's right to an item, None if there is no such item. Raises SignInNeeded or NoRight.

    The visitor is looked up only where it matters who it is: by ticket, and by session if there is none that
    will do. It may have expired while the session goes on, or be of an account that was signed in here before.
    `below`: says what path the item's addresses begin with.
    """
    item = await rows.get(key)
    if item is None:
        return None
    if item.visibility == Visibility.PUBLIC:
        return _anybodys(rows, key, item)
    path, texts = below(), ticket_texts(request)
    known = [visitor for text in texts if (visitor := await by_ticket(text, path)) is not None]
    for visitor in known:
        if may_see(visitor, item.visibility, item.owner_id):
            return Right(rows, key, item, visitor, path, None)
    visitor = await by_session(request)
    if visitor.pk is None and texts:
        raise NoRight if known else SignInNeeded(TICKET_OVER)
    require(visitor, item.visibility, item.owner_id)
    assert visitor.pk is not None
    return Right(rows, key, item, visitor, path, tickets.issue(visitor.pk, visitor.version, path))


def session_may_upload(session_key: str | None) -> bool:
    """Whether a session, known by its key alone, belongs to somebody who may upload. Asks the database."""
    request = HttpRequest()
    request.session = import_string(f"{settings.SESSION_ENGINE}.SessionStore")(session_key)
    return bool(get_user(request).has_perm(UPLOAD_PERMISSION))


def cache_control(visibility: str, max_age: int) -> str:
    """What caches may keep of an item's bytes. `max_age`: seconds."""
    return f"public, max-age={max_age}" if visibility == Visibility.PUBLIC else "private, no-cache"

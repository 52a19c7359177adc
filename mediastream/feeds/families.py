"""Topics that have no row of their own: of an item, a camera, or the server itself.

Higher floors register them by how their names begin, with the right that reading one takes: it is the right to what
the topic is about, so whoever loses that loses the topic. A topic of a family is open while somebody reads it, and for
a moment after; what is published on one that nobody reads goes nowhere. So a thousand items cost nothing.
"""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from django.http import HttpRequest

from mediastream import access
from mediastream.access import Right, Visibility
from mediastream.errors import Unknown
from mediastream.feeds.events import Event
from mediastream.feeds.terms import Terms
from mediastream.rows import Rows


async def _nothing(_rest: str) -> list[Event]:
    return []


@dataclass(frozen=True)
class Family:
    """`prefix`: how the names begin, with a dot at its end; without one it is the one name there is. The functions take
    what follows it. `right`: the visitor's right to read, or a Fault; `past`: what the topic is to hold when it is
    opened, the oldest first; `read`: called at home when the first reader comes and when the last has left; `linger`:
    seconds it is held unread, for who comes again."""

    prefix: str
    right: Callable[[HttpRequest, str], Awaitable[Right[Any]]]
    terms: Terms = field(default_factory=Terms)
    past: Callable[[str], Awaitable[list[Event]]] = _nothing
    read: Callable[[str, bool], None] = lambda _rest, _is_read: None
    linger: float = 1.0


_families: dict[str, Family] = {}


def register(family: Family) -> None:
    _families[family.prefix] = family


def of(name: str) -> tuple[Family, str] | None:
    """The family a name belongs to, and what follows its prefix; the longest that fits. None: it is a topic's own."""
    if (family := _families.get(name)) is not None and not name.endswith("."):
        return family, ""
    end = name.rfind(".", 0, -1)
    while end > 0:
        if (family := _families.get(name[: end + 1])) is not None:
            return family, name[end + 1 :]
        end = name.rfind(".", 0, end)
    return None


@dataclass(frozen=True)
class Administrators:
    """What is nobody's, and private: so administrators alone may see it."""

    visibility: str = Visibility.PRIVATE
    owner_id: int | None = None


def _load(names: Collection[str]) -> dict[str, Administrators]:
    return dict.fromkeys(names, Administrators())


_administrators: Rows[str, Administrators] = Rows("administrators", _load, str)


async def administrators(request: HttpRequest, _rest: str = "") -> Right[Administrators]:
    """A right to what administrators alone may read. Raises SignInNeeded or NoRight."""
    right = await access.admit(request, _administrators, "", lambda: "/feeds/")
    if right is None:
        raise Unknown("There is no such topic.")
    return right

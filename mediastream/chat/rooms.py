"""Which rooms there are. A room belongs to a thing that has a page, and who may see that may read it.

Its name says of what kind the thing is and which: by what never changes and is never given again, or a new thing would
come by what was said of another. Higher floors say what kinds there are.
"""

import functools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest

from mediastream.access import Right
from mediastream.chat import topic
from mediastream.chat.models import Message
from mediastream.errors import Unknown
from mediastream.feeds import families
from mediastream.feeds.terms import Terms

LINGER = 60.0  # seconds a room's topic is held unread: who reloads a page goes on where it stood


@dataclass(frozen=True)
class Kind:
    """Both take what names the thing. `right`: the visitor's right to it, or a Fault; `page`: its address, "" if it is
    gone."""

    right: Callable[[HttpRequest, str], Awaitable[Right[Any]]]
    page: Callable[[str], str]


_kinds: dict[str, Kind] = {}


def register(name: str, kind: Kind) -> None:
    _kinds[name] = kind
    prefix = f"{topic.PREFIX}{name}."
    past = functools.partial(_past, name)
    families.register(families.Family(prefix, kind.right, Terms(history=topic.KEPT), past, linger=LINGER))


async def _past(kind: str, thing: str) -> Any:
    return await topic.past(f"{kind}.{thing}")


async def right_to(request: HttpRequest, room: str) -> Right[Any]:
    """The visitor's right to read. Raises Unknown, SignInNeeded or NoRight."""
    name, _, thing = room.partition(".")
    if name not in _kinds or not thing:
        raise Unknown("There is no such room.")
    return await _kinds[name].right(request, thing)


def page(room: str) -> str:
    """The address of the page it is on, "" if there is none."""
    name, _, thing = room.partition(".")
    return _kinds[name].page(thing) if name in _kinds else ""


def drop(name: str, thing: object) -> None:
    """The thing is deleted, and what was said of it. Whoever reads it loses the right to it in the same moment."""
    messages: Any = Message.objects.filter(room=f"{name}.{thing}")
    messages.for_its_age = True
    messages.delete()

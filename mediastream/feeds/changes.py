"""A topic's row that changes reaches its feed, in every process that serves.

Readers whose right has gone are ended by the watch; here the events of a topic that is gone are forgotten, and its
source starts, stops, or starts anew.
"""

import asyncio
import threading
from typing import Any

from django.db import transaction

from mediastream import homeloop
from mediastream.feeds import families, hub, running
from mediastream.feeds.known import topics
from mediastream.feeds.models import Topic
from mediastream.feeds.terms import Terms
from mediastream.request_threads import in_background

# Seconds until a topic is opened anew, which ends its readers in good order: the watch is first, and cuts off those
# whose right went with the change.
FIRST_RIGHTS = 1.0

_reading = threading.Lock()  # rows that were read before others must not be applied after them


def remember(instance: Topic, **_: Any) -> None:
    """post_init: the name it had, under which it is open."""
    if "name" in instance.__dict__:
        instance.former_name = instance.name  # type: ignore[attr-defined]


def changed(instance: Topic, using: str, **_: Any) -> None:
    """post_save and post_delete of Topic."""
    for name in {instance.name, getattr(instance, "former_name", instance.name)}:
        topics.changed(name, using)
    remember(instance)
    transaction.on_commit(arrange, using, robust=True)


def changed_elsewhere(_name: str) -> None:
    """A notice (watch.py): another process has stored it. On the home loop."""
    in_background(arrange)


def begin() -> None:
    """This process serves from now on: the sources that are always on start. On the home loop."""
    in_background(arrange)


def arrange() -> None:
    """Compare what is open with the rows. In the thread of a request or a command, which waits for nothing."""
    if not hub.serves():
        return
    with _reading:
        rows = {row.name: (row.terms, running.order_of(row)) for row in Topic.objects.all()}
        homeloop.soon(lambda: _apply(rows))


def _apply(rows: dict[str, Any]) -> None:
    for name, feed in list(hub.feeds().items()):
        if families.of(name) is not None:
            continue
        if name not in rows:
            hub.forget(name)
        elif feed.terms != rows[name][0]:
            asyncio.get_running_loop().call_later(FIRST_RIGHTS, _open_anew, name, rows[name][0])
    running.arrange({name: order for name, (_, order) in rows.items() if order is not None})


def _open_anew(name: str, terms: Terms) -> None:
    if hub.serves() and name in hub.feeds():
        hub.feed(name, terms)

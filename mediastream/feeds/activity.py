"""What goes on here, for the topic `activity`: anybody's to read, so public things alone may be told of.

The key of each event is the end of the address of what it is about, `watch/ID` or `live/SLUG`: what comes before it may
differ by who asks. What is public no longer is taken back by that, so that nobody who comes later reads a title of
something private.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from mediastream.access import Visibility
from mediastream.errors import Busy
from mediastream.feeds import hub
from mediastream.feeds.events import Event, retraction

TOPIC = "activity"
AGAIN = 60.0  # seconds until the same is told of the same thing again: who reloads a page must not fill the topic
MOST = 1000  # of which it is known when they were told

_told: dict[tuple[str, str], float] = {}


def happened(what: str, visibility: str, key: str, address: str, title: str) -> Event | None:
    """What to publish; None if it is not to be told, or has just been."""
    if visibility != Visibility.PUBLIC or _just_told(what, key):
        return None
    said: dict[str, Any] = {"what": what, "title": title, "watch": address}
    return Event(said, what, key)


def _just_told(what: str, key: str) -> bool:
    now, thing = time.monotonic(), (what, key)
    if now - _told.get(thing, -AGAIN) < AGAIN:
        return True
    _told.pop(thing, None)
    if len(_told) >= MOST:
        _told.pop(next(iter(_told)), None)
    _told[thing] = now
    return False


def tell(event: Event, is_public: Callable[[], bool]) -> None:
    """It never fails what it tells of. `is_public`: asks the database.

    Asked after the event is out: who makes the thing private takes back what is there, and before that nothing was.
    """
    with suppress(Busy):
        hub.publish(TOPIC, event)
        if not is_public():
            hub.publish(TOPIC, retraction(event.key))


def take_back(key: str, using: str) -> None:
    """What it is of is not public, or is gone; once that is committed."""
    hub.publish_on_commit(TOPIC, retraction(key), using)

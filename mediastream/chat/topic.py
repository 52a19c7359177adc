"""A room as a topic, `chat.<room>`: its messages as events, each under its number as key.

A message that is hidden or deleted is taken back: the event goes to the pages that show it, and the topic forgets it.
"""

from typing import Any

from mediastream.chat.models import Message
from mediastream.feeds import hub
from mediastream.feeds.events import Event, retraction
from mediastream.request_threads import shared_threads

PREFIX = "chat."
KEPT = 100  # messages of a room, in the database and in its topic


def event_of(message: Message) -> Event:
    at = message.said_at.timestamp()
    by = message.author.get_username()
    return Event({"id": message.pk, "by": by, "text": message.text, "time": at}, key=str(message.pk), at=at)


async def past(room: str) -> list[Event]:
    """The oldest first."""
    found = Message.objects.filter(room=room, hidden=False).select_related("author").order_by("-pk")[:KEPT]
    async with shared_threads():
        return [event_of(message) async for message in found][::-1]


def saved(instance: Message, using: str, created: bool, **_: Any) -> None:
    """post_save of Message."""
    event = retraction(str(instance.pk)) if instance.hidden else event_of(instance)
    hub.publish_on_commit(PREFIX + instance.room, event, using)


def deleted(instance: Message, using: str, origin: Any = None, **_: Any) -> None:
    """post_delete of Message. What is deleted for its age stays on the pages that show it."""
    if not getattr(origin, "for_its_age", False):
        hub.publish_on_commit(PREFIX + instance.room, retraction(str(instance.pk)), using)

"""Pure: what a stream says of itself at its beginning, in silence and at its end."""

import random

from mediastream.feeds.events import Format, told
from mediastream.http import sse

SOONEST = 1000  # milliseconds until lost clients come again, and
SPREAD = 2000, 2, 60_000  # over how many: at least, for each subscriber, at most


def opening(form: Format, topic: str, cursor: str, reason: str, subscribers: int) -> bytes:
    """`cursor`: where the reader begins; `reason`: why that is not where it wanted to."""
    first = told(form, "open", cursor, topic=topic) if form is not Format.SSE else b""
    if form is Format.SSE:
        first = retry(form, subscribers) + sse.position(cursor)
    return first + (told(form, "reset", cursor, reason=reason) if reason else b"")


def retry(form: Format, subscribers: int) -> bytes:
    """Each is told another moment: a server that restarts must not meet all of them at once. Others than event streams
    have no word for it."""
    if form is not Format.SSE:
        return b""
    least, each, most = SPREAD
    return sse.retry(SOONEST + random.randrange(min(least + each * subscribers, most)))  # noqa: S311


def heartbeat(form: Format, cursor: str) -> bytes:
    """With where the reader stands: a filter may have kept the latest events from it, and their ids."""
    if form is Format.SSE:
        return sse.comment().removesuffix(b"\n") + sse.position(cursor)
    return b"\n" if form is Format.TEXT else told(form, "heartbeat", cursor)

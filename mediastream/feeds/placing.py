"""Pure: where a reader begins, and what one that is behind gets next."""

from collections.abc import Iterable
from dataclasses import dataclass

from mediastream.feeds import cursor as cursors
from mediastream.feeds.batch import Batch
from mediastream.feeds.cursor import Cursor
from mediastream.feeds.events import Entry, told
from mediastream.feeds.history import History
from mediastream.feeds.subscriber import Catching, Subscriber
from mediastream.feeds.terms import Terms
from mediastream.feeds.together import Together

Reader = Subscriber | Together

BATCH = 256 * 1024  # bytes written at once
PLACE = 100  # events a slow subscriber may be behind before they are conflated
SHOWN = 100  # latest events for who has lost its place, where there is not one for each key

OLDEST = "oldest"  # the cursor of who wants all there is


@dataclass(frozen=True)
class Place:
    """`sent`: the sequence up to which all is known; `reason`: why its cursor was not gone on from, "" if it was."""

    sent: int
    catching: Catching | None
    reason: str = ""


def place(history: History, head: Cursor, terms: Terms, after: str | None) -> Place:
    """`head`: the latest event's; `after`: as of `Feed.join`."""
    oldest = history.first - 1
    newest = Place(0, Catching.LATEST) if terms.keyed else Place(head.sequence, None)
    if after is None:
        return newest
    if after == OLDEST:
        return Place(oldest, Catching.ALL)
    known = cursors.parse(after)
    if known is None or known.epoch != head.epoch:
        reason = "unknown"
    elif oldest <= known.sequence <= head.sequence:
        return Place(known.sequence, Catching.ALL)
    else:
        reason = "expired"
    if terms.keyed:
        return Place(0, Catching.LATEST, reason)
    return Place(max(head.sequence - SHOWN, oldest), Catching.ALL, reason)


def next_batch(history: History, head: Cursor, terms: Terms, reader: Reader) -> Batch:
    """What is to be sent next, of bounded size; its `dropped` are told in it."""
    entries, dropped = _waiting(history, head, terms, reader)
    form, oldest = reader.want.form, history.first - 1
    pieces: list[bytes] = []
    if dropped:
        pieces.append(told(form, "gap", str(Cursor(head.epoch, max(oldest, reader.sent))), dropped=dropped))
    size, upto = 0, head.sequence
    for entry in entries:
        if not reader.want.takes(entry.key):
            continue
        if size >= BATCH:
            return Batch(pieces, upto, dropped)
        piece = entry.framed(form)
        size += len(piece)
        pieces.append(piece)
        upto = entry.sequence
    return Batch(pieces, head.sequence, dropped)


def _waiting(
    history: History, head: Cursor, terms: Terms, reader: Subscriber | Together
) -> tuple[Iterable[Entry], int]:
    """And how many are missing. The last of each key comes in the order of the events, so that whoever leaves amid
    them goes on from there."""
    oldest = history.first - 1
    behind = head.sequence - reader.sent
    conflated = reader.catching is not Catching.ALL and behind > PLACE
    if reader.catching is Catching.LATEST:
        return history.latest(reader.sent), 0
    if terms.keyed and (conflated or reader.sent < oldest):
        return history.latest(reader.sent), history.forgotten(reader.sent)
    return history.after(reader.sent), max(oldest - reader.sent, 0)

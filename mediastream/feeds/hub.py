"""The topics of this process, and how anything gets to their readers. Feeds live on the home loop.

    publish("market", Event({"symbol": "ACME", "price": 12.5}, key="ACME"))     # from any thread
    await apublish("market", ...)                                               # from a coroutine
    publish_on_commit("activity", ...)                                          # once what it tells of is stored

A process that serves (`serve`) holds the topics; what another publishes, `manage.py` or the job worker, goes to it
through a socket of its own (relay.py).
"""

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable

from django.db import transaction

from mediastream import homeloop
from mediastream.errors import Busy
from mediastream.feeds import families, relay
from mediastream.feeds.cursor import Cursor
from mediastream.feeds.events import RETRACT, Event
from mediastream.feeds.feed import Feed
from mediastream.feeds.group import Member
from mediastream.feeds.opening import Opening
from mediastream.feeds.terms import Terms
from mediastream.seldom import Seldom

logger = logging.getLogger(__name__)
_lost = Seldom(logger)

MOST_FEEDS = 2000  # topics held; those without readers go first
WAITING = 10_000  # events from other threads that wait for the loop
TURN = 100  # events a coroutine publishes in a row before others have a turn

_feeds: dict[str, Feed] = {}
_openings: dict[str, Opening] = {}  # of the topics of families that are open, or will be in a moment
_unread: dict[str, asyncio.TimerHandle] = {}  # topics of families that are held for a moment
_inbox: deque[tuple[str, Event]] = deque()
_woken = False
_lock = threading.Lock()  # of the two above
_serving: "relay.Listener | None" = None
_member: Member | None = None
_published = 0

# Who wants to know when a topic gets its first reader (True) and loses its last (False). On the home loop.
on_interest: list[Callable[[str, bool], None]] = []


def feed(name: str, terms: Terms | None = None) -> Feed:
    """The topic's feed, opened if need be. `terms`: its row's; a feed that was opened on others is opened anew, and
    its readers, who are ended, come again. None: as it is."""
    known = _feeds.get(name)
    if known is not None and (terms is None or known.terms == terms):
        return known
    if known is None:
        _make_room()
    made = _feeds[name] = Feed(name, terms or Terms())
    made.interested = lambda interested: _interest(name, interested)
    if (found := families.of(name)) is not None:
        _hold(name, found[0].linger)
    if _member is not None:
        _member.enter(name)
    if known is not None:
        made.take_over(known)
        known.end()
    return made


async def opened(name: str, terms: Terms) -> Feed:
    """The topic's feed for a reader, who finds there what its family knows of the past."""
    found = families.of(name)
    if found is None or name in _feeds:
        return feed(name, terms)
    if name not in _openings:
        opening = _openings[name] = Opening(*found, lambda: feed(name, terms))
        opening.task.add_done_callback(lambda _: _forget_failed(name, opening))
    return await asyncio.shield(_openings[name].task)  # others may wait for it, too


def _forget_failed(name: str, opening: Opening) -> None:
    if name not in _feeds and _openings.get(name) is opening:
        del _openings[name]


def _hold(name: str, seconds: float) -> None:
    """Forget the topic then, unless somebody reads it."""
    if (held := _unread.pop(name, None)) is not None:
        held.cancel()
    _unread[name] = asyncio.get_running_loop().call_later(seconds, _let_go, name)


def _let_go(name: str) -> None:
    _unread.pop(name, None)
    if name in _feeds and not _feeds[name].subscribers:
        forget(name)


def _interest(name: str, interested: bool) -> None:
    if (found := families.of(name)) is not None:
        family, rest = found
        if interested and (held := _unread.pop(name, None)) is not None:
            held.cancel()
        elif not interested and name in _feeds:
            _hold(name, family.linger)
        family.read(rest, interested)
    for tell in on_interest:
        tell(name, interested)


def _make_room() -> None:
    if len(_feeds) < MOST_FEEDS:
        return
    unread = [name for name, feed in _feeds.items() if not feed.subscribers]
    # What a family's topic holds can be had again.
    chosen = next((name for name in unread if name in _unread), unread[0] if unread else None)
    if chosen is None:
        raise Busy("The server has as many topics as it takes; come again later.", retry_after=30)
    forget(chosen)


def forget(name: str) -> None:
    """The topic is gone, and its events with it: another of that name must not show them."""
    known = _feeds.pop(name, None)
    if known is not None:
        _openings.pop(name, None)
        known.end()
        if _member is not None:
            _member.leave(name)


def feeds() -> dict[str, Feed]:
    """By name; not to be changed."""
    return _feeds


async def serve() -> None:
    """This process holds topics from now on. On the home loop; further calls do nothing."""
    global _serving, _member
    if not serves():
        for of_ended_loop in (_feeds, _openings, _unread):
            of_ended_loop.clear()
        _serving = await relay.Listener.start(_append)
        _member = Member(_append)


def serves() -> bool:
    return _serving is not None and _serving.alive


def _append(name: str, event: Event) -> Cursor | None:
    if (opening := _openings.get(name)) is not None and opening.take(event):
        return None
    known = _feeds.get(name)
    if known is None:
        if families.of(name) is not None:
            return None  # nobody reads it
        known = feed(name)
    if event.name == RETRACT and families.of(name) is None and not known.holds(event.key):
        return None  # who was never told of it shall not hear that there was something
    return known.append(event)


def publish(name: str, event: Event) -> None:
    """From any thread, or from a callback of the loop. Raises Busy if more wait for the loop than may.

    Where no process of this host serves, nobody reads, and the event is lost.
    """
    if not serves():
        relay.send(name, event)
    elif _at_home():
        _append(name, event)
    else:
        _hand_over(name, event)


async def apublish(name: str, event: Event) -> Cursor | None:
    """The same from a coroutine, which others get a turn beside; its place, None if another process holds it, nobody
    reads it, or it is there already."""
    global _published
    if not serves():
        await asyncio.to_thread(relay.send, name, event)
        return None
    if not _at_home():
        return await homeloop.run(apublish(name, event))
    _published += 1
    if _published % TURN == 0:
        await asyncio.sleep(0)
    return _append(name, event)


def publish_on_commit(name: str, event: Event, using: str | None = None) -> None:
    """Once the transaction under way is committed; now if there is none. It never fails what it tells of."""
    transaction.on_commit(lambda: publish(name, event), using=using, robust=True)


def _at_home() -> bool:
    try:
        return asyncio.get_running_loop() is homeloop.home()
    except RuntimeError:
        return False


def _hand_over(name: str, event: Event) -> None:
    global _woken
    with _lock:
        if len(_inbox) >= WAITING:
            raise Busy("More events wait to be published than the server takes; publish more slowly.", retry_after=1)
        _inbox.append((name, event))
        wake, _woken = not _woken, True
    if wake:
        homeloop.soon(_take_over)


def _take_over() -> None:
    """What other threads have published, in their order; a bounded part of it in one turn."""
    global _woken
    for _ in range(TURN):
        with _lock:
            if not _inbox:
                _woken = False
                return
            name, event = _inbox.popleft()
        try:
            _append(name, event)
        except Busy as fault:  # its publisher has gone on, and the others' events are to come
            _lost.warning("an event of topic %s is lost: %s", name, fault)
    homeloop.soon(_take_over)


async def close_all() -> None:
    """End every stream, and listen no more."""
    global _serving, _woken, _member
    listener, _serving = _serving, None
    member, _member = _member, None
    if member is not None:
        await member.close()
    if listener is not None:
        await listener.close()
    for opening in _openings.values():
        opening.task.cancel()
    await asyncio.gather(*(opening.task for opening in _openings.values()), return_exceptions=True)
    for name in list(_feeds):
        forget(name)
    while _unread:
        _unread.popitem()[1].cancel()
    with _lock:
        _inbox.clear()
        _woken = False

"""Rows of the database that requests ask for again and again, kept for a moment and kept true.

A player asks for range after range; each needs to know of the item whether it is there, whose it is and
where it lies, and of the visitor whether they still may. Those few values are kept here as frozen ones. They
are believed for FRESH seconds after the database was asked: a notice of a change (bus.py) ends that at once,
and while they are in use the watch (watch.py) asks for all of them together, twice a second. So what was
changed where no notice comes from (a query in the database's own shell) is seen within a second too, and
where the watch does not run each request asks for itself.

Two things can go wrong between a question to the database and its answer. The row may change: an answer to a
question asked before the change was heard of is not believed afterwards. And a later question may be answered
sooner: an answer never replaces that to a later question.

Any thread may call. What open streams hang on is never given up for want of room, or whoever asks for many
other rows could keep alive a stream whose right has gone.
"""

import threading
import time
from collections.abc import Callable, Collection, Hashable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from asgiref.sync import sync_to_async
from django.db import transaction

from mediastream import bus

Key = TypeVar("Key", bound=Hashable)
Row = TypeVar("Row")

FRESH = 1.0  # seconds a row is believed
IN_USE = 10.0  # seconds after which a row nobody asked for is no longer looked after
HELD = 30.0  # seconds a row is kept for an open stream since it was last looked at: the watch looks more often
MOST = 2048  # rows of one kind, but for those of open streams
AT_ONCE = 500  # SQLite takes 999 parameters

NEVER = float("-inf")


@dataclass(slots=True)
class _Kept(Generic[Row]):
    """Times are of the monotonic clock."""

    row: Row | None = None  # None: the database has none, or has not been asked
    asked: float = NEVER  # when the question began that `row` answers
    fresh: bool = False  # no change has been heard of since
    used: float = NEVER
    held: float = NEVER  # until when an open stream hangs on it


@dataclass(eq=False, slots=True)
class _Question(Generic[Key]):
    """To the database, not yet answered. `changed`: keys that were heard to change meanwhile."""

    asked: float
    changed: set[Key] = field(default_factory=set)


class Rows(Generic[Key, Row]):
    """Rows of one kind by key. `load` asks the database for some of them, in whatever thread; rows compare by
    value, and one that has not changed stays the same object. `key`: makes one of a notice's text."""

    def __init__(self, name: str, load: Callable[[Collection[Key]], dict[Key, Row]], key: Callable[[str], Key]) -> None:
        self.name = name
        self._load = load
        self._key = key
        self._kept: dict[Key, _Kept[Row]] = {}
        self._questions: set[_Question[Key]] = set()
        self._lock = threading.Lock()
        _all[name] = self

    def known(self, key: Key) -> Row | None:
        """The row, if it is there and believed."""
        kept = self._kept.get(key)
        if kept is None:
            return None
        now = time.monotonic()
        kept.used = now
        return kept.row if kept.fresh and now - kept.asked < FRESH else None

    def gone(self, key: Key) -> bool:
        """Whether the database was last seen to have no such row."""
        kept = self._kept.get(key)
        return kept is not None and kept.row is None and kept.asked != NEVER

    def last(self, key: Key) -> Row | None:
        """The row as last seen, however long ago."""
        kept = self._kept.get(key)
        return kept.row if kept is not None else None

    def hold(self, key: Key) -> None:
        """An open stream hangs on this row: keep it, and look after it, until HELD seconds from now."""
        now = time.monotonic()
        with self._lock:
            kept = self._kept.get(key) or self._kept.setdefault(key, _Kept())
            kept.used, kept.held = now, now + HELD

    async def get(self, key: Key) -> Row | None:
        """The row, from the database if need be; None if there is none."""
        row = self.known(key)
        if row is not None:
            return row
        found = await self._ask([key])
        with self._lock:
            kept = self._kept.get(key)
            if kept is None:
                return found.get(key)
            kept.used = time.monotonic()
            return kept.row

    def forget(self, key: Key) -> None:
        """It has changed: the next to ask goes to the database."""
        with self._lock:
            for question in self._questions:
                question.changed.add(key)
            kept = self._kept.get(key)
            if kept is not None:
                kept.fresh = False

    def heard(self, text: str) -> None:
        """A notice has come: some process changed the row of this key."""
        self.forget(self._key(text))

    def changed(self, key: Key, using: str) -> None:
        """A transaction on the connection `using` changes it: forget it, here and in every process, once that is
        committed. Here at once too, not when the notice arrives: who changed it must not see it as it was."""

        def committed() -> None:
            self.forget(key)
            bus.notify(self.name, str(key))

        self.forget(key)
        transaction.on_commit(committed, using=using, robust=True)

    async def refresh(self) -> None:
        """Ask again for all that is in use, and drop the rest."""
        now = time.monotonic()
        with self._lock:
            for key in [key for key, kept in self._kept.items() if now - kept.used > IN_USE]:
                del self._kept[key]
            keys = list(self._kept)
        for start in range(0, len(keys), AT_ONCE):
            await self._ask(keys[start : start + AT_ONCE])

    def clear(self) -> None:
        with self._lock:
            self._kept.clear()

    async def _ask(self, keys: list[Key]) -> dict[Key, Row]:
        question: _Question[Key] = _Question(time.monotonic())
        with self._lock:
            self._questions.add(question)
        found: dict[Key, Row] = {}
        answered: list[Key] = []
        try:
            found = await sync_to_async(self._load)(keys)
            answered = keys
        finally:
            with self._lock:
                self._questions.discard(question)
                for key in answered:
                    self._keep(key, found.get(key), question)
        return found

    def _keep(self, key: Key, row: Row | None, question: _Question[Key]) -> None:
        kept = self._kept.get(key)
        if kept is None:
            if row is None:  # else whoever asks for what does not exist would fill the room
                return
            kept = _Kept(used=time.monotonic())
            self._make_room(kept.used)
            self._kept[key] = kept
        if question.asked < kept.asked:
            return
        if kept.row != row:
            kept.row = row  # first: `known` looks without the lock
        kept.asked, kept.fresh = question.asked, key not in question.changed

    def _make_room(self, now: float) -> None:
        """Give up a quarter of what no stream hangs on, the longest unused first, when all room is taken."""
        if len(self._kept) < MOST:
            return
        free = sorted((kept.used, index) for index, kept in enumerate(self._kept.values()) if kept.held < now)
        keys = list(self._kept)
        for _, index in free[: MOST // 4]:
            del self._kept[keys[index]]


_all: dict[str, Rows[Any, Any]] = {}


def all_rows() -> Collection[Rows[Any, Any]]:
    return list(_all.values())


def heard(name: str, key: str) -> None:
    """A notice has come: some process changed the row of this kind and key."""
    rows = _all.get(name)
    if rows is not None:
        rows.heard(key)


def forget_all() -> None:
    for rows in all_rows():
        rows.clear()

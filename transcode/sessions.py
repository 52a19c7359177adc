"""The HLS sessions of this process: which there are, who watches which, and when a new one begins.

A viewer is a player, by a random name that its master playlist gave it. It watches one session of video and one of
sound at a time: asking for another rendition, or for a segment that no session is about to make, leaves the one before,
which ends if nobody else watches it, before the next begins. So a player that seeks a hundred times has two FFmpegs
at most. The first seek begins at once; of those that follow within the debounce only the last does. What was left
ends before the debounce, so that it takes no time from what comes after.
"""

import asyncio
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from mediastream import drain
from mediastream.errors import Busy
from mediastream.openfile import OpenFile
from transcode import registry
from transcode.cache import Cache
from transcode.cutter import INIT
from transcode.session import IDLE, REACH, RETRY_AFTER, Session, Work

DEBOUNCE = 0.15  # seconds
BURST = 1.0  # seconds after a request that began a session, in which another waits for the debounce
FORGET = 512  # viewers from which on those that left are looked for


@dataclass(frozen=True, eq=False)
class Aim:
    """Where a player wants to go on. What it asks for soon after there is of the same aim: some ask for two at once."""

    work: Work
    number: int

    def takes_in(self, work: Work, number: int) -> bool:
        return work.key == self.work.key and (number == INIT or self.number <= number <= self.number + REACH)


@dataclass
class Watching:
    """One viewer's use of one kind of rendition. `left`: sessions it had before, not over yet; `at`: seconds into the
    item; `began`: when it last asked for what no session covered."""

    session: Session | None = None
    left: list[Session] = field(default_factory=list)
    aim: Aim | None = None
    at: float = 0.0
    began: float = float("-inf")
    seen: float = field(default_factory=time.monotonic)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


class Sessions:
    """`limit`: encoders of video at once, progressive ones included. Lives on the home loop."""

    def __init__(self, cache: Cache, limit: int) -> None:
        self.cache = cache
        self.limit = limit
        self._open: defaultdict[str, list[Session]] = defaultdict(list)
        self._watching: dict[tuple[str, str], Watching] = {}

    @property
    def running(self) -> int:
        return sum(map(len, self._open.values()))

    async def segment(self, work: Work, number: int, viewer: str) -> tuple[Path, OpenFile]:
        """The file of a segment (INIT: the init segment), made if need be. It is opened before it may be given up for
        another. Raises Busy, DiskFull, TranscodeFailed, OSError."""
        if drain.begun():
            raise Busy("The server is stopping; try again in a moment.", RETRY_AFTER)
        watching = self._of(viewer, work.kind)
        aim = _aim(watching, work, number)
        key = work.key_of(number)
        self.cache.pin(key)
        try:
            found = await self.cache.open(key)
            if found is not None:
                self._follow(watching, work, number, viewer)
                return found
            session = self._covering(work, number) or await self._begin(watching, aim, number, viewer)
            if session is not None:
                self._watch(watching, session, viewer)
                session.join(viewer, number)
                await session.wait(number)
            found = await self.cache.open(key)
        finally:
            self.cache.unpin(key)
        if found is None:
            raise Busy("This part was given up for another; try again.", RETRY_AFTER)
        return found

    def leave(self, item: str, viewer: str) -> None:
        """A player has gone: what it alone watched of this item ends."""
        for kind in ("video", "audio"):
            watching = self._watching.get((viewer, kind))
            if watching is not None and watching.aim is not None and watching.aim.work.item == item:
                watching.aim = None  # what waits for its turn gives up
                _leave(watching, viewer)

    async def close_all(self) -> None:
        sessions = [session for known in self._open.values() for session in known]
        for session in sessions:
            session.end()
        for session in sessions:
            await session.over.wait()

    def _of(self, viewer: str, kind: str) -> Watching:
        if len(self._watching) > FORGET:
            old = time.monotonic() - 2 * IDLE
            kept = {key: known for key, known in self._watching.items() if known.seen > old or known.turn.locked()}
            self._watching = kept
        watching = self._watching.setdefault((viewer, kind), Watching())
        watching.seen = time.monotonic()
        return watching

    def _follow(self, watching: Watching, work: Work, number: int, viewer: str) -> None:
        """Who is given a file still moves the session that makes the next ones on."""
        if number == INIT:
            return
        session = watching.session
        if session is None or session.ending or session.work.key != work.key:
            session = next(
                (known for known in self._open.get(work.key, ()) if known.near(number) and not known.ending), None
            )
        if session is not None and session.near(number):
            self._watch(watching, session, viewer)
            session.join(viewer, number)

    def _covering(self, work: Work, number: int) -> Session | None:
        return next((session for session in self._open.get(work.key, ()) if session.covers(number)), None)

    def _watch(self, watching: Watching, session: Session, viewer: str) -> None:
        """Note that the viewer watches this one, and leaves the one before."""
        session.join(viewer, session.first)
        if session is not watching.session:
            _leave(watching, viewer)
            watching.session = session

    async def _begin(self, watching: Watching, aim: Aim, number: int, viewer: str) -> Session | None:
        """A new session for `number`; None if the segment has come meanwhile. Raises Busy."""
        burst = time.monotonic() - watching.began < BURST
        if number != INIT:  # asked for on the way to another, which is the first seek
            watching.began = time.monotonic()
        _leave(watching, viewer)
        if burst:
            await asyncio.sleep(DEBOUNCE)
        async with watching.turn:
            _require_aim(watching, aim)
            for former in watching.left:
                await former.over.wait()
            watching.left.clear()
            _require_aim(watching, aim)
            if self.cache.has(aim.work.key_of(number)):
                return None
            known = self._covering(aim.work, number)
            if known is not None:
                return known
            session = self._open_one(aim.work, self._first(aim, number))
            self._watch(watching, session, viewer)
            return session

    def _first(self, aim: Aim, number: int) -> int:
        """Where to begin: an aim's own request may come after those for what lies beyond it."""
        wanted = range(aim.number, max(number, aim.number) + 1)
        return next((each for each in wanted if not self.cache.has(aim.work.key_of(each))), aim.number)

    def _open_one(self, work: Work, first: int) -> Session:
        """No await between the look for one and this: two viewers would else begin two."""
        registry.take_place(self.limit, light=not work.encodes_video)
        session = Session(work, first, self.cache, self._ended)
        self._open[work.key].append(session)
        return session

    def _ended(self, session: Session) -> None:
        known = self._open[session.work.key]
        known.remove(session)
        if not known:
            del self._open[session.work.key]
        registry.give_place_back(light=not session.work.encodes_video)


def _aim(watching: Watching, work: Work, number: int) -> Aim:
    """What this request is on the way to. Another aim than before takes the turn from what waits for that."""
    aim = watching.aim
    if aim is None or not aim.takes_in(work, number):
        # A change of rendition asks for the init segment first: where the player is, it needs the next ones, too.
        aim = watching.aim = Aim(work, work.layout.at(watching.at) if number == INIT else number)
    if number != INIT:
        watching.at = work.layout.starts[number]
    return aim


def _require_aim(watching: Watching, aim: Aim) -> None:
    if watching.aim is not aim:
        raise Busy("The player has asked for another part since.", RETRY_AFTER)


def _leave(watching: Watching, viewer: str) -> None:
    former, watching.session = watching.session, None
    if former is not None:
        former.leave(viewer)
        if former.ending:
            watching.left.append(former)

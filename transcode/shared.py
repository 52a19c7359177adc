"""One encode for all who watch an item from its beginning; when it is whole it is a file of the cache.

The body it is read from is pulled no further than AHEAD of the foremost viewer, so that a pause stops FFmpeg, too. What
comes is given out from memory at once and written into a draft besides, from which those behind read. If the disk or
the cache fills meanwhile there is no draft any more: the foremost go on, and who is far behind is cut, and comes again.

When the last viewer leaves it ends at once: an encode for nobody is what nobody asked for. So the cache has what was
watched to its end, by whoever of those who shared it. Lives on the home loop.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable

from mediastream import drain
from mediastream.bodies import Body
from mediastream.errors import Fault, StreamCut
from transcode import draft
from transcode.cache import Cache
from transcode.draft import Draft

logger = logging.getLogger(__name__)

AHEAD = 512 * 1024  # bytes
RECENT = 2 * AHEAD  # bytes in memory, so that the foremost viewer always finds what comes next
READ = 256 * 1024  # bytes of a draft at a time

_known: dict[str, "SharedEncode"] = {}


async def opened(key: str, begin: Callable[[], Awaitable[Body]], cache: Cache) -> Body:
    """What `begin` opens, alone or with those who watch it already; in the cache under `key`, once it is whole.

    Raises what `begin` does.
    """
    shared = _known.get(key)
    if shared is None or shared.ending:
        shared = _known[key] = SharedEncode(key, begin, cache)
    elif not shared.has_beginning:
        return await begin()
    place = Place(shared)
    try:
        await shared.begun()
    except BaseException:
        await place.aclose()
        raise
    return place


class SharedEncode:
    """`made`: bytes that have come; `over`: no more do, by `fault` if that is not their end."""

    def __init__(self, key: str, begin: Callable[[], Awaitable[Body]], cache: Cache) -> None:
        self.key = key
        self.made = 0
        self.over = False
        self.fault = ""
        self.ending = False
        self._cache = cache
        self._places: set[Place] = set()
        self._recent: deque[bytes] = deque()
        self._recent_from = 0
        self._draft: Draft | None = None
        self._news = asyncio.Event()
        self._begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._main(begin), name=f"shared {key}")

    @property
    def has_beginning(self) -> bool:
        """Whether who comes now can have all of it."""
        return self._recent_from <= (self._draft.size if self._draft is not None else 0)

    async def begun(self) -> None:
        """Raises what kept it from beginning."""
        await asyncio.shield(self._begun)

    def join(self, place: "Place") -> None:
        self._places.add(place)

    async def leave(self, place: "Place") -> None:
        """The last one to leave ends it, and waits until it is over, even if cancelled meanwhile."""
        self._places.discard(place)
        if self._places or self.ending:
            return
        self.ending = True
        self._forget()
        if not self.over:
            self._task.cancel()
        await asyncio.shield(asyncio.ensure_future(self._close()))

    async def read(self, offset: int) -> bytes:
        """What follows `offset`, as soon as it has come; b"" at the end. Raises StreamCut."""
        while offset >= self.made and not self.over:
            await self._news.wait()
        if drain.begun():
            raise StreamCut("the server is stopping")
        if offset >= self.made:
            if self.fault:
                raise StreamCut(self.fault)
            return b""
        if offset >= self._recent_from:
            return self._remembered(offset)
        if self._draft is None or offset >= self._draft.size:
            raise StreamCut("the cache had no room for what this viewer has still to see")
        return await self._draft.read(offset, READ)

    def tell(self) -> None:
        """Wake all who wait for what has changed."""
        old, self._news = self._news, asyncio.Event()
        old.set()

    def _remembered(self, offset: int) -> bytes:
        begin = self._recent_from
        for chunk in self._recent:
            if offset < begin + len(chunk):
                return chunk[offset - begin :]
            begin += len(chunk)
        raise AssertionError("what was made last is in memory")

    async def _main(self, begin: Callable[[], Awaitable[Body]]) -> None:
        try:
            source = await begin()
        except Exception as fault:
            self._forget()
            self.over = True
            self._begun.set_exception(fault)
            self._begun.exception()  # retrieved, as whoever waited may have left
            return
        try:
            self._draft = await self._drafted()
            self._begun.set_result(None)
            await self._pull(source)
            await self._keep()
        except StreamCut as cut:
            self.fault = str(cut)
        except Exception:
            self.fault = "the server failed"
            logger.exception("shared %s", self.key)
        finally:
            self._forget()  # whoever comes now finds the file, or begins anew
            self.over = True
            self.tell()
            await source.aclose()
            await self._give_up_draft()

    async def _pull(self, source: Body) -> None:
        while True:
            while self.made - max((place.offset for place in self._places), default=0) >= AHEAD:
                await self._news.wait()
            chunk = await anext(source, None)
            if chunk is None:
                return
            self._recent.append(chunk)
            self.made += len(chunk)
            while self.made - self._recent_from - len(self._recent[0]) >= RECENT:
                self._recent_from += len(self._recent.popleft())
            self.tell()
            await self._write(chunk)

    async def _drafted(self) -> Draft | None:
        try:
            return await draft.begun(self._cache, self.key)
        except (Fault, OSError) as fault:
            logger.warning("%s is not kept: %s", self.key, fault)
            return None

    async def _write(self, chunk: bytes) -> None:
        if self._draft is None or not self._draft.growing:
            return
        try:
            await self._draft.write(chunk)
        except (Fault, OSError) as fault:
            logger.warning("%s is not kept: %s", self.key, fault)
            await self._give_up_draft()

    async def _keep(self) -> None:
        if self._draft is None or not self._draft.growing:
            return
        try:
            await self._draft.keep()
        except OSError as fault:  # somebody emptied the folder
            logger.warning("%s is not kept: %s", self.key, fault)

    async def _give_up_draft(self) -> None:
        if self._draft is not None and self._draft.growing:
            await self._draft.drop()

    def _forget(self) -> None:
        if _known.get(self.key) is self:
            del _known[self.key]

    async def _close(self) -> None:
        await asyncio.wait([self._task])
        if self._draft is not None:
            self._draft.close()


class Place(Body):
    """One viewer's. `offset`: bytes it has had."""

    def __init__(self, shared: SharedEncode) -> None:
        self.offset = 0
        self._shared = shared
        shared.join(self)

    async def __anext__(self) -> bytes:
        chunk = await self._shared.read(self.offset)
        if not chunk:
            raise StopAsyncIteration
        self.offset += len(chunk)
        self._shared.tell()
        await asyncio.sleep(0)
        return chunk

    async def aclose(self) -> None:
        await self._shared.leave(self)

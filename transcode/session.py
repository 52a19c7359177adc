"""One FFmpeg that makes the segments of one rendition from one of them on, shared by all who watch there.

It reads ahead of its viewers by a few segments and no more: FFmpeg's stdout is then not read, and FFmpeg waits in its
write, from where it goes on at once. An FFmpeg that is killed from outside is started again at the segment it was at.
Lives on the home loop; `end` ends it, and `over` is set once its FFmpeg is reaped.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from mediastream import drain
from mediastream.errors import Busy, Fault, TranscodeFailed, system_fault
from mediastream.ffmpeg import last_words
from mediastream.limits import Limits
from mediastream.live.recording.boxes import Mp4Invalid
from mediastream.process import Child
from transcode import fallback
from transcode.cache import Cache
from transcode.cutter import INIT, Cutter
from transcode.encoders import SOFTWARE, Encoder
from transcode.hls_argv import RUN
from transcode.layout import Layout
from transcode.profiles import Profile
from transcode.registry import Silent

logger = logging.getLogger(__name__)

AHEAD = 5  # segments made beyond the last that was asked for
CROWDED = 1  # the same, instead of AHEAD, while the cache has room for little more
REACH = 3  # a request as far beyond the one being made waits here; for one further a new FFmpeg is faster
IDLE = 30.0  # seconds without a request after which a viewer is taken to have left
SILENT = 30.0  # seconds FFmpeg may give nothing while it is read
PATIENCE = 25.0  # seconds a request waits for its segment
READ = 64 * 1024  # bytes, which is what a pipe holds
REVIVALS = 2  # times an FFmpeg that somebody killed is started again
RETRY_AFTER = 2  # seconds


@dataclass(frozen=True)
class Work:
    """What to make: `key`: its folder in the cache; `argv`: the command line from a segment on, by an encoder;
    `profile`: of encoded video."""

    key: str
    item: str
    name: str
    kind: str
    layout: Layout
    argv: Callable[[int, Encoder], list[str]]
    profile: Profile | None

    @property
    def encodes_video(self) -> bool:
        return self.profile is not None

    def limits(self, encoder: Encoder) -> Limits:
        return encoder.limits if self.profile is None else self.profile.limits(encoder)

    def key_of(self, number: int) -> str:
        return f"{self.key}/{'init.mp4' if number == INIT else f'{number}.m4s'}"


class Session:
    """`next`: the segment being made; `failure`: why it ended, if not in good order."""

    def __init__(self, work: Work, first: int, cache: Cache, ended: Callable[["Session"], None]) -> None:
        self.work = work
        self.first = self.next = first
        self.failure: Fault | None = None
        self.over = asyncio.Event()
        self.ending = False
        self._cache = cache
        self._ended = ended
        self._seen: dict[str, float] = {}  # viewers, and when each asked last
        self._wanted = first
        self._init = b""  # the init segment, once it is made: the cache may give it up, and FFmpeg tells it once
        self._spared: list[int] = []  # the segments that the cache gives up last: those no player has reached
        self._news = asyncio.Event()
        self._child: Child | None = None
        self._task = asyncio.create_task(self._main(), name=f"hls {work.item} {work.name}")
        self._task.add_done_callback(self._done)  # also of one that was cancelled before it began
        self._timer = asyncio.get_running_loop().call_later(IDLE, self._look)

    @property
    def viewers(self) -> set[str]:
        return set(self._seen)

    def covers(self, number: int) -> bool:
        """Whether a request for it is best answered by waiting here."""
        if self.ending or self.failure is not None:
            return False
        return number == INIT or self.next <= number <= self.next + REACH

    def near(self, number: int) -> bool:
        """Whether who asks for it plays along here, perhaps out of the cache."""
        return self.first <= number <= self.next + REACH and self.next - number <= 3 * AHEAD

    def join(self, viewer: str, number: int) -> None:
        self._seen[viewer] = time.monotonic()
        if number > self._wanted:
            self._wanted = number
            while self._spared and self._spared[0] < number:
                self._cache.unspare(self.work.key_of(self._spared.pop(0)))
            self._tell()

    def leave(self, viewer: str) -> None:
        """The last one to leave ends it."""
        if self._seen.pop(viewer, None) is not None and not self._seen:
            self.end()

    def end(self) -> None:
        if not self.ending:
            self.ending = True
            if self._child is not None:  # else none is started any more
                self._child.kill()
                self._task.cancel()

    async def wait(self, number: int) -> None:
        """Until a segment is in the cache. Raises Busy after PATIENCE, and what the session failed by."""
        key = self.work.key_of(number)
        try:
            async with asyncio.timeout(PATIENCE):
                while not self._cache.has(key):
                    if number == INIT and self._init:
                        await self._cache.put(key, self._init)
                        break
                    if self.failure is not None:
                        raise self.failure
                    if self.over.is_set() or self.ending:
                        raise Busy("This part was given up for another; try again.", RETRY_AFTER)
                    await self._news.wait()
        except TimeoutError:
            raise Busy(f"This part was not made within {PATIENCE:g} seconds; try again.", RETRY_AFTER) from None

    def _look(self) -> None:
        now = time.monotonic()
        for viewer in [viewer for viewer, seen in self._seen.items() if seen <= now - IDLE]:
            self.leave(viewer)
        if not self.ending:
            due = min(self._seen.values(), default=now) + IDLE - now
            self._timer = asyncio.get_running_loop().call_later(due, self._look)

    async def _main(self) -> None:
        logger.info("hls started item=%s rendition=%s segment=%d", self.work.item, self.work.name, self.first)
        try:
            if self.work.encodes_video:
                await fallback.encoded(self.work.item, self._make, (TranscodeFailed, Silent, Mp4Invalid))
            else:
                await self._make(SOFTWARE)
        except (OSError, Mp4Invalid, Fault) as fault:
            self.failure = system_fault(fault) or TranscodeFailed(f"This file cannot be transcoded: {fault}.")

    def _done(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (fault := task.exception()) is not None:
            logger.error("hls item=%s rendition=%s", self.work.item, self.work.name, exc_info=fault)
            self.failure = TranscodeFailed("This file cannot be transcoded; the log says why.")
        self.ending = True
        self._timer.cancel()
        for number in self._spared:
            self._cache.unspare(self.work.key_of(number))
        self.over.set()
        self._ended(self)
        self._tell()
        failed = f" failure={self.failure.detail!r}" if self.failure else ""
        logger.info("hls ended item=%s rendition=%s segment=%d%s", self.work.item, self.work.name, self.next, failed)

    async def _make(self, encoder: Encoder) -> None:
        for _ in range(REVIVALS + 1):
            if await self._run(encoder):
                return
        raise TranscodeFailed("FFmpeg was ended from outside, again and again.")

    async def _run(self, encoder: Encoder) -> bool:
        """One FFmpeg; False if it was killed, by nobody here."""
        if self.ending:
            return True
        child = self._child = Child.spawn(self.work.argv(self.next, encoder), self.work.limits(encoder))
        release = drain.on_begin(child.kill)
        cutter = Cutter(self.work.layout, self.next, forced=self.work.encodes_video)
        try:
            while not self.ending and await self._read(child, cutter):
                pass
            if self.ending:
                return True
            code = await child.wait()
            if drain.begun():
                raise Busy("The server is stopping; try again in a moment.", RETRY_AFTER)
            if code > 0 or (code == 0 and self.next < len(self.work.layout) and not await self._finish(cutter, child)):
                raise TranscodeFailed(f"This file cannot be transcoded: {last_words(child.stderr)}.")
            return code >= 0
        finally:
            release()
            await child.stop()

    async def _finish(self, cutter: Cutter, child: Child) -> bool:
        try:
            last = cutter.finish()
        except Mp4Invalid:
            return False
        for segment in last:
            await self._keep(segment.number, segment.data)
        return True

    async def _read(self, child: Child, cutter: Cutter) -> bool:
        """Some bytes, once they are wanted; False at the end of them, and of what is to be made."""
        while self.next > self._wanted + (CROWDED if self._cache.crowded else AHEAD):
            await self._news.wait()
        try:
            async with asyncio.timeout(SILENT):
                data = await child.read(READ)
        except TimeoutError:
            raise Silent(f"FFmpeg gave nothing for {SILENT:g} seconds; try again.", RETRY_AFTER) from None
        for segment in cutter.feed(data):
            await self._keep(segment.number, segment.data)
        if self.next - self.first >= RUN or self._runs_into_known():
            self.ending = True
        return bool(data) and not self.ending

    def _runs_into_known(self) -> bool:
        """Whether the next ones have been made already: who watches here reads those."""
        return self.next > self.first and all(
            number >= len(self.work.layout) or self._cache.has(self.work.key_of(number))
            for number in range(self.next, self.next + REACH)
        )

    async def _keep(self, number: int, data: bytes) -> None:
        key = self.work.key_of(number)
        if number >= self._wanted:
            self._cache.spare(key)
            self._spared.append(number)
        await self._cache.put(key, data)
        if number == INIT:
            self._init = data
        else:
            self.next = number + 1
        self._tell()

    def _tell(self) -> None:
        """Wake all who wait for what has changed."""
        old, self._news = self._news, asyncio.Event()
        old.set()

"""One subscriber's place at a camera's H.264.

H.264 builds each picture on those before it, back to a keyframe: so nothing may be left out but all up to the next
keyframe. What waits here is bounded. Who has not taken one keyframe when the next comes is more than a GOP behind and
goes on with that next one; who lets too many bytes wait goes on with the next to come.
"""

import asyncio
from collections import deque
from collections.abc import Callable

from mediastream import streams
from mediastream.broadcast import Shared
from mediastream.live.encoder import Encoded
from mediastream.live.fmp4 import Init

MAX_BYTES = 8 * 1024 * 1024  # that wait; those that everybody has are shared


class Place:
    """What comes is an Init, then pictures from a keyframe on. `across`: whether it goes on when the encoder is
    started anew, with another Init and times that begin at 0, and gives all that it had when it is over; else it is
    over then, and at once.

    `skipped`: pictures that it was too slow for; `cut`: whether it is over since the encoder could not go on.
    """

    def __init__(self, *, across: bool = False) -> None:
        self.across = across
        self.skipped = 0
        self.cut = False
        self._waiting: deque[Init | Encoded] = deque()
        self._bytes = 0
        self._skipping = True  # until a keyframe
        self._ended = False
        self._offer: Callable[[Shared], bool] | None = None
        self._news = asyncio.Event()

    def put_init(self, init: Init) -> None:
        if any(isinstance(waiting, Init) for waiting in self._waiting):
            self._drop()
            self._waiting.clear()  # nothing of that run was taken
        self._waiting.append(init)
        self._skipping = True
        self._tell()

    def put(self, encoded: Encoded) -> None:
        if encoded.keyframe:
            if self._has_keyframe():
                self._drop()
            self._skipping = False
        size = len(encoded.fragment.data)
        if not self._skipping and self._bytes + size > MAX_BYTES:
            self._drop()
            self._skipping = True
        if self._skipping:
            self._skip(1)
            return
        self._waiting.append(encoded)
        self._bytes += size
        self._tell()

    def _has_keyframe(self) -> bool:
        """Whether one of the present run waits."""
        for waiting in reversed(self._waiting):
            if isinstance(waiting, Init):
                return False
            if waiting.keyframe:
                return True
        return False

    def _drop(self) -> None:
        """All pictures that wait."""
        kept = [waiting for waiting in self._waiting if isinstance(waiting, Init)]
        self._skip(len(self._waiting) - len(kept))
        self._waiting, self._bytes = deque(kept), 0

    def _skip(self, count: int) -> None:
        self.skipped += count
        for _ in range(count):
            streams.drop("video")

    def end(self, *, cut: bool = False) -> None:
        self.cut = self.cut or (cut and not self._ended)
        self._ended = True
        self._news.set()

    async def take(self) -> Init | Encoded | None:
        """The next, waited for; None when it is over."""
        while not self._waiting and not self._ended:
            self._news.clear()
            await self._news.wait()
        if not self._waiting or (self._ended and not self.across):
            return None
        taken = self._waiting.popleft()
        if isinstance(taken, Encoded):
            self._bytes -= len(taken.fragment.data)
        return taken

    async def over(self) -> None:
        """Return when it is."""
        while not self._ended:
            self._news.clear()
            await self._news.wait()

    def feed(self, offer: Callable[[Shared], bool] | None) -> None:
        """Have what waits given to `offer`, which says whether it was taken; None: kept here again.

        What it was too busy for is offered again with the next picture.
        """
        self._offer = offer
        self._tell()

    def _tell(self) -> None:
        if self._offer is None:
            self._news.set()
        elif self._waiting and self._offer(self._together()):
            self._waiting.clear()
            self._bytes = 0

    def _together(self) -> Shared:
        parts = [waiting.data if isinstance(waiting, Init) else waiting.fragment.data for waiting in self._waiting]
        if len(parts) > 1 or isinstance(self._waiting[0], Init):
            return Shared(b"".join(parts))
        return self._waiting[0].fragment.shared

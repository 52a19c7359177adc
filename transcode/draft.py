"""A file of the cache while it grows: counted as it does, and under another name until it is whole."""

import asyncio
import os
import secrets

from mediastream.errors import system_fault
from transcode.cache import DRAFT, Cache, unlink


async def begun(cache: Cache, key: str) -> "Draft":
    """Raises OSError, DiskFull. Shielded: a thread cannot be cancelled, and what it opened would have no owner."""
    await cache.ready()
    draft = Draft(cache, key)
    opening = asyncio.ensure_future(asyncio.to_thread(draft.open))
    try:
        await asyncio.shield(opening)
    except OSError as fault:
        raise system_fault(fault) or fault from None
    except asyncio.CancelledError:
        await asyncio.wait([opening])
        if opening.exception() is None:
            await draft.drop()
            draft.close()
        raise
    return draft


class Draft:
    """`size`: bytes that can be read. `growing`: neither whole nor given up.

    Whoever has it ends it by `keep` or `drop`, and closes it; what a crash leaves the next start sweeps.
    """

    def __init__(self, cache: Cache, key: str) -> None:
        self.key = key
        self.size = 0
        self.growing = True
        self._counted = 0
        self._cache = cache
        self._path = (cache.folder / key).with_name(f"{DRAFT}{secrets.token_hex(8)}")
        self._fd = -1
        self._under_way: asyncio.Future[None] | None = None  # a write, or the renaming

    def open(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)

    async def write(self, data: bytes) -> None:
        """Raises DiskFull if the quota or the disk has no room. Shielded: a thread cannot be cancelled."""
        await self._cache.grow(len(data))
        self._counted += len(data)
        self._under_way = asyncio.ensure_future(asyncio.to_thread(_append, self._fd, data))
        try:
            await asyncio.shield(self._under_way)
        except OSError as fault:
            raise system_fault(fault) or fault from None
        self.size += len(data)

    async def read(self, offset: int, size: int) -> bytes:
        return await asyncio.to_thread(os.pread, self._fd, size, offset)

    async def keep(self) -> None:
        """It is whole: found by its key from now on. Raises OSError: then it is neither kept nor given up.

        Shielded: a file at its key that nobody has counted would be left.
        """
        self._under_way = asyncio.ensure_future(self._keep())
        await asyncio.shield(self._under_way)

    async def drop(self) -> None:
        """Give it up, unless it has just been kept; what has been written can be read until it is closed."""
        if self._under_way is not None:
            await asyncio.wait([self._under_way])
        if self.growing:
            self.growing = False
            await asyncio.to_thread(unlink, [self._path])
            self._cache.shrink(self._counted)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    async def _keep(self) -> None:
        await asyncio.to_thread(self._path.rename, self._cache.folder / self.key)
        self._cache.add(self.key, self.size)
        self.growing = False


def _append(fd: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(fd, left) :]

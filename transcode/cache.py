"""What FFmpeg has made, kept to be sent again as plain files: one folder, bounded in bytes.

The least recently used goes first, before the new is written, so that the bound always holds; what sessions have made
ahead of their players goes last. What a request waits for is pinned and stays. A file that is being sent may be
deleted: its descriptor keeps the bytes. A file is written under another name and renamed, so it is there whole or not
at all. Lives on the home loop.
"""

import asyncio
import itertools
import os
import secrets
from collections import Counter, OrderedDict
from contextlib import suppress
from pathlib import Path

from mediastream.errors import NO_ROOM, DiskFull
from mediastream.openfile import OpenFile

DRAFT = ".draft-"


class Cache:
    """`quota`: bytes. Keys are paths below `folder`."""

    def __init__(self, folder: Path, quota: int) -> None:
        self.folder = folder
        self.quota = quota
        self.bytes = 0
        self._sizes: OrderedDict[str, int] = OrderedDict()
        self._pins: Counter[str] = Counter()
        self._spared: Counter[str] = Counter()
        self._puts: dict[str, asyncio.Task[Path]] = {}
        self._turn = asyncio.Lock()
        self._sweeping: asyncio.Future[list[tuple[str, int]]] | None = None
        self._swept = False

    async def ready(self) -> None:
        """Know what is there; the first call sweeps what a crash left and what is over the quota."""
        if self._swept:
            return
        if self._sweeping is None:
            self._sweeping = asyncio.ensure_future(asyncio.to_thread(_found, self.folder))
        found = await asyncio.shield(self._sweeping)
        if not self._swept:
            self._swept = True
            self._sizes.update(found)
            self.bytes = sum(self._sizes.values())
            await self._delete(self._victims(0))

    async def find(self, key: str) -> Path | None:
        """The file of this key, which counts as used now."""
        await self.ready()
        if key not in self._sizes:
            return None
        path = self.folder / key
        if not path.exists():  # somebody emptied the folder
            self.bytes -= self._sizes.pop(key)
            return None
        self._sizes.move_to_end(key)
        return path

    async def open(self, key: str) -> tuple[Path, OpenFile] | None:
        """As `find`, and open. Raises OSError."""
        path = await self.find(key)
        try:
            return (path, await OpenFile.open(path)) if path is not None else None
        except FileNotFoundError:  # given up meanwhile, unless it is pinned
            return None

    def has(self, key: str) -> bool:
        return key in self._sizes

    def pin(self, key: str) -> None:
        """Keep it until it is unpinned as often, whether it is there yet or not."""
        self._pins[key] += 1

    def unpin(self, key: str) -> None:
        _take(self._pins, key)

    def spare(self, key: str) -> None:
        """Let it go after all that is not spared, until `unspare` as often."""
        self._spared[key] += 1

    def unspare(self, key: str) -> None:
        _take(self._spared, key)

    @property
    def crowded(self) -> bool:
        """Whether so much is spared that there is hardly room for more."""
        return sum(self._sizes.get(key, 0) for key in self._spared) > self.quota / 4

    async def put(self, key: str, data: bytes) -> Path:
        """Raises DiskFull if neither the quota nor the disk has room for it, after all that can go has gone.

        Once begun it is done, whoever is cancelled: a thread writes on, and what it wrote has to be counted.
        """
        await self.ready()
        if key in self._sizes:
            return self.folder / key
        task = self._puts.get(key)
        if task is None:
            task = self._puts[key] = asyncio.create_task(self._put(key, data), name=f"cache {key}")
            task.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody may be left to see it
            task.add_done_callback(lambda _: self._puts.pop(key))
        return await asyncio.shield(task)

    async def settled(self) -> None:
        """Until all that is being written is there."""
        await asyncio.gather(*self._puts.values(), return_exceptions=True)

    async def _put(self, key: str, data: bytes) -> Path:
        """One after the other: each would else take the room that another has just made for itself."""
        path = self.folder / key
        async with self._turn:
            await self._make_room(len(data))
            await self._write(path, data)
            self._sizes[key] = len(data)
            self.bytes += len(data)
        return path

    async def grow(self, size: int) -> None:
        """Count that many bytes of a draft (draft.py), before they are there. Raises DiskFull."""
        async with self._turn:
            await self._make_room(size)
            self.bytes += size

    def shrink(self, size: int) -> None:
        """A draft of that many bytes was given up."""
        self.bytes -= size

    def add(self, key: str, size: int) -> None:
        """A draft is whole; its bytes have been counted."""
        self.bytes -= self._sizes.pop(key, 0)
        self._sizes[key] = size

    async def _make_room(self, size: int) -> None:
        await self._delete(self._victims(size))
        if self.bytes + size > self.quota:
            raise DiskFull("The cache of transcodes is full of what is being watched now; see MEDIASTREAM_CACHE.")

    async def _write(self, path: Path, data: bytes) -> None:
        """On a full disk what was used longest ago goes first: a little, and all that may go if that is not enough."""
        for room in (4 * len(data), self.bytes):
            try:
                return await asyncio.to_thread(_write, path, data)
            except OSError as fault:
                if fault.errno not in NO_ROOM:
                    raise
            await self._delete(self._oldest(room))
        try:
            await asyncio.to_thread(_write, path, data)
        except OSError as again:
            raise DiskFull("The server's disk is full, so this cannot be transcoded.") from again

    def _victims(self, size: int) -> list[str]:
        """Those to go for `size` bytes more."""
        return self._oldest(self.bytes + size - self.quota)

    def _oldest(self, excess: int) -> list[str]:
        """As much as that, the least recently used first, those spared last."""
        chosen: list[str] = []
        ordinary = (key for key in self._sizes if key not in self._spared)
        for key in itertools.chain(ordinary, (key for key in self._sizes if key in self._spared)):
            if excess <= 0:
                break
            if key not in self._pins:
                chosen.append(key)
                excess -= self._sizes[key]
        return chosen

    async def _delete(self, keys: list[str]) -> None:
        if keys:
            for key in keys:
                self.bytes -= self._sizes.pop(key)
            await asyncio.to_thread(unlink, [self.folder / key for key in keys])


def _take(counted: Counter[str], key: str) -> None:
    counted[key] -= 1
    if counted[key] <= 0:
        del counted[key]


def _found(folder: Path) -> list[tuple[str, int]]:
    """Keys and sizes, the least recently used first."""
    found = []
    for base, _, names in os.walk(folder):
        for name in names:
            path = Path(base, name)
            if name.startswith(DRAFT):
                path.unlink(missing_ok=True)
                continue
            status = path.stat()
            found.append((max(status.st_atime, status.st_mtime), str(path.relative_to(folder)), status.st_size))
    return [(key, size) for _, key, size in sorted(found)]


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{DRAFT}{secrets.token_hex(8)}")
    try:
        draft.write_bytes(data)
        draft.rename(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def unlink(paths: list[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
        with suppress(OSError):  # others are in it
            path.parent.rmdir()

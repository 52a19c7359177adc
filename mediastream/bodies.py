"""Async iterators of bytes that own their source and close it.

Django's StreamingHttpResponse never closes an inner async generator, and `aclose()` on a generator that
was never started skips its `finally`; under back pressure an FFmpeg outlived its viewer by seconds. So a
body is an object with an explicit `aclose`, called by whoever sends it, started or not.

After a disconnect an ASGI server's `send()` returns without suspending: a body that does not await
either would run to its end for nobody and block the loop meanwhile. Every `__anext__` here suspends.
"""

import asyncio
import errno
import os
import stat
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from mediastream import drain
from mediastream.errors import StreamCut
from mediastream.http.ranges import Span
from mediastream.process import Child

CHUNK = 64 * 1024  # bytes; what one paused client holds here is a small multiple of it
LIVE_PATIENCE = 60.0  # seconds a socket may take no byte before it is aborted
DOWNLOAD_PATIENCE = 3600.0  # a paused player must find its download where it left it

# Disks can be slow and the loop must not wait for them. More threads than this do not make one faster.
_disk = ThreadPoolExecutor(max_workers=8, thread_name_prefix="disk")


class Body(ABC):
    """What is streamed. `patience`: seconds the client's socket may take no byte."""

    patience = LIVE_PATIENCE

    def __aiter__(self) -> Self:
        return self

    @abstractmethod
    async def __anext__(self) -> bytes: ...

    @abstractmethod
    async def aclose(self) -> None:
        """Give back all that is held. Safe to repeat, and safe if nothing was ever read."""


@dataclass
class OpenFile:
    """An open regular file; size in bytes and time of change in Unix seconds as of opening."""

    fd: int
    size: int
    modified: int

    @classmethod
    async def open(cls, path: Path) -> Self:
        """Raises FileNotFoundError and other OSErrors of open(2), IsADirectoryError for what is not a file.

        Shielded: a thread that opens cannot be cancelled, and what it has opened needs an owner.
        """
        opening = asyncio.get_running_loop().run_in_executor(_disk, cls.open_now, path)
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_close_unwanted)
            raise

    @classmethod
    def open_now(cls, path: Path) -> Self:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK)
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            os.close(fd)
            raise IsADirectoryError(errno.EISDIR, "not a regular file")
        return cls(fd, status.st_size, int(status.st_mtime))

    def read_cached(self, offset: int, size: int) -> bytes | None:
        """Up to `size` bytes at `offset` if the page cache has any of them; None if the disk would be asked.

        preadv2(2) with RWF_NOWAIT says which, so that only a cold file costs a thread. Some file systems
        do not know the flag (EOPNOTSUPP); those are always read in a thread.
        """
        buffer = bytearray(size)
        try:
            count = os.preadv(self.fd, [buffer], offset, os.RWF_NOWAIT)
        except OSError as fault:
            if fault.errno not in (errno.EAGAIN, errno.EOPNOTSUPP, errno.EINVAL):
                raise
            return None
        return bytes(memoryview(buffer)[:count]) if count else None

    def read(self, offset: int, size: int) -> "asyncio.Future[bytes]":
        """Up to `size` bytes at `offset`, read in a thread."""
        return asyncio.get_running_loop().run_in_executor(_disk, os.pread, self.fd, size, offset)

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def _close_unwanted(opening: "asyncio.Future[Any]") -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()


class FileBody(Body):
    """Pieces of one file, framing bytes between them as they come. Owns the file.

    A file that has become shorter than its promised length cuts the stream: padding would be a lie.
    """

    patience = DOWNLOAD_PATIENCE

    def __init__(self, file: OpenFile, pieces: Iterable[bytes | Span]) -> None:
        self._file = file
        self._pieces = deque(pieces)
        self._reading: asyncio.Future[bytes] | None = None

    async def __anext__(self) -> bytes:
        while self._pieces:
            piece = self._pieces.popleft()
            if isinstance(piece, bytes):
                await asyncio.sleep(0)
                return piece
            if piece.length:
                return await self._next_of(piece)
        raise StopAsyncIteration

    @property
    def fd(self) -> int:
        return self._file.fd

    def take(self) -> Iterator[bytes | Span]:
        """The pieces still to come, for a server that reads the file itself; they are then no longer iterated."""
        while self._pieces:
            piece = self._pieces.popleft()
            if isinstance(piece, bytes) or piece.length:
                yield piece

    async def _next_of(self, span: Span) -> bytes:
        try:
            chunk = await self._read(span.start, min(CHUNK, span.length))
        except OSError as fault:
            raise StreamCut(f"the file cannot be read: {fault.strerror}") from None
        if not chunk:
            raise StreamCut(f"the file ends at byte {span.start}, before the {span.stop} that were promised")
        if len(chunk) < span.length:
            self._pieces.appendleft(Span(span.start + len(chunk), span.stop))
        return chunk

    async def _read(self, offset: int, size: int) -> bytes:
        chunk = self._file.read_cached(offset, size)
        if chunk is not None:
            await asyncio.sleep(0)
            return chunk
        # A read in a thread cannot be cancelled, and its descriptor must not be closed (and the number
        # perhaps given to another file) while it runs: aclose looks at it.
        self._reading = self._file.read(offset, size)
        return await asyncio.shield(self._reading)

    async def aclose(self) -> None:
        self._pieces.clear()
        reading = self._reading
        if reading is not None and not reading.done():
            reading.add_done_callback(self._close_after)
        else:
            self._file.close()

    def _close_after(self, reading: "asyncio.Future[bytes]") -> None:
        if not reading.cancelled():
            reading.exception()  # retrieved, so that asyncio does not report it as lost
        self._file.close()


class ProcessBody(Body):
    """A child's stdout. Owns the child: whenever the body closes, the child is killed and reaped.

    `first`: what was read already; `ended`: called once when the child is gone. A child that fails, or
    that a drain ends, cuts the stream, so that no player takes what it got for the whole.
    """

    def __init__(self, child: Child, first: bytes, ended: Callable[[], None]) -> None:
        self._child = child
        self._first = first
        self._ended: Callable[[], None] | None = ended
        self._drained = False
        self._release_drain = drain.on_begin(self._drain)

    def _drain(self) -> None:
        self._drained = True
        self._child.kill()

    async def __anext__(self) -> bytes:
        if self._first and not self._drained:
            first, self._first = self._first, b""
            await asyncio.sleep(0)
            return first
        chunk = b"" if self._drained else await self._child.read(CHUNK)
        if chunk:
            await asyncio.sleep(0)  # read() does not suspend while its buffer is full
            return chunk
        returncode = await self._child.wait()
        if self._drained:
            raise StreamCut("the server is stopping")
        if returncode != 0:
            raise StreamCut(f"{self._child.name} ended with {returncode}: {self._child.stderr}")
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self._release_drain()
        ended, self._ended = self._ended, None
        try:
            await self._child.stop()
        finally:
            if ended is not None:
                ended()

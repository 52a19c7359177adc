"""Async iterators of bytes that own their source and close it.

Django's StreamingHttpResponse never closes an inner async generator, and `aclose()` on a generator that
was never started skips its `finally`; under back pressure an FFmpeg outlived its viewer by seconds. So a
body is an object with an explicit `aclose`, called by whoever sends it, started or not.

After a disconnect an ASGI server's `send()` returns without suspending: a body that does not await
either would run to its end for nobody and block the loop meanwhile. Every `__anext__` here suspends.
"""

import asyncio
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, Self

from mediastream import chunking, drain
from mediastream.chunking import Chunking
from mediastream.errors import StreamCut
from mediastream.http.ranges import Span
from mediastream.openfile import OpenFile
from mediastream.pipe import Pipe
from mediastream.process import Child

LIVE_PATIENCE = 60.0  # seconds a socket may take no byte before it is aborted
SILENT = 60.0  # seconds a child may give nothing
DOWNLOAD_PATIENCE = 3600.0  # a paused player must find its download where it left it


class Body(ABC):
    """What is streamed. `patience`: seconds the client's socket may take no byte; `graced`: it has an end of
    its own, which a stopping server lets it reach."""

    patience = LIVE_PATIENCE
    closes_at_once = False  # whether `aclose` never suspends
    graced = False
    brief = False  # whether it will probably be over in a moment: players ask for a file range by range

    def __aiter__(self) -> Self:
        return self

    @abstractmethod
    async def __anext__(self) -> bytes: ...

    @abstractmethod
    async def aclose(self) -> None:
        """Give back all that is held. Safe to repeat, and safe if nothing was ever read."""

    def heartbeat(self) -> bytes:
        """Bytes that mean nothing and may be sent before the next chunk; b"" where the format has none such.

        For servers that learn only by a write that the viewer has gone (responses.py). A child's output is
        chunked anywhere, so also where nothing may be put between: MP4 has boxes to skip (`free`), but only
        between two others.
        """
        return b""


class SlicedBody(Body):
    """Pieces of something whose length is known, framing bytes between them as they come.

    `most`: bytes of a chunk. What has become shorter than its promised length cuts the stream: padding would be a
    lie.
    """

    patience = DOWNLOAD_PATIENCE
    closes_at_once = True
    graced = True
    brief = True

    def __init__(self, pieces: Iterable[bytes | Span], most: int = chunking.MOST) -> None:
        self._pieces = deque(pieces)
        self._chunking = Chunking(most)

    async def __anext__(self) -> bytes:
        while self._pieces:
            piece = self._pieces.popleft()
            if isinstance(piece, bytes):
                await asyncio.sleep(0)
                return piece
            if piece.length:
                return await self._next_of(piece)
        raise StopAsyncIteration

    async def _next_of(self, span: Span) -> bytes:
        try:
            chunk = await self._read(span.start, min(self._chunking.asked(time.monotonic()), span.length))
        except OSError as fault:
            raise StreamCut(f"the file cannot be read: {fault.strerror}") from None
        if not chunk:
            raise StreamCut(f"the file ends at byte {span.start}, before the {span.stop} that were promised")
        if len(chunk) < span.length:
            self._pieces.appendleft(Span(span.start + len(chunk), span.stop))
        self._chunking.given(time.monotonic())
        return chunk

    @abstractmethod
    async def _read(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes at `offset`; suspends. Raises OSError."""


class FileBody(SlicedBody):
    """Pieces of one file. Owns the file."""

    def __init__(self, file: OpenFile, pieces: Iterable[bytes | Span], most: int = chunking.MOST) -> None:
        super().__init__(pieces, most)
        self._file = file
        self._reading: asyncio.Future[bytes] | None = None
        self._closed = False

    @property
    def file(self) -> OpenFile:
        return self._file

    @property
    def size(self) -> int:
        """Bytes of the whole file."""
        return self._file.size

    @property
    def only_span(self) -> Span | None:
        """The span still to come, if there is one and no framing around it."""
        if len(self._pieces) == 1 and isinstance(self._pieces[0], Span):
            return self._pieces[0]
        return None

    def take(self) -> Iterator[bytes | Span]:
        """The pieces still to come, for a server that reads the file itself; they are then no longer iterated."""
        while self._pieces:
            piece = self._pieces.popleft()
            if isinstance(piece, bytes) or piece.length:
                yield piece

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
        if self._closed:
            return
        self._closed = True
        reading = self._reading
        if reading is not None and not reading.done():
            reading.add_done_callback(self._close_after)
        else:
            self._file.close()

    def _close_after(self, reading: "asyncio.Future[bytes]") -> None:
        if not reading.cancelled():
            reading.exception()  # retrieved, so that asyncio does not report it as lost
        self._file.close()


class Content(Protocol):
    """What has a length, and of which pieces can be sent. `size` in bytes; `modified`: Unix seconds.

    Whoever has it makes one body of it, which owns it then, or closes it.
    """

    @property
    def size(self) -> int: ...
    @property
    def modified(self) -> int: ...
    def body(self, pieces: Iterable[bytes | Span], most: int) -> SlicedBody:
        """`most`: bytes of a chunk."""

    def close(self) -> None: ...


@dataclass(frozen=True)
class FileContent:
    """A stored file."""

    file: OpenFile

    @property
    def size(self) -> int:
        return self.file.size

    @property
    def modified(self) -> int:
        return self.file.modified

    def body(self, pieces: Iterable[bytes | Span], most: int) -> SlicedBody:
        return FileBody(self.file, pieces, most)

    def close(self) -> None:
        self.file.close()


class ProcessBody(Body):
    """A child's stdout. Owns the child: whenever the body closes, the child is killed and reaped.

    `first`: what was read already; `ended`: called once when the child is gone; `most`: bytes of a chunk. A child
    that fails, or that a drain ends, cuts the stream, so that no player takes what it got for the whole.
    """

    def __init__(self, child: Child, first: bytes, ended: Callable[[], None], most: int = chunking.MOST) -> None:
        self._chunking = Chunking(most)
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
            await asyncio.sleep(0)
            return self.take_first()
        size = self._chunking.asked(time.monotonic())
        chunk = b"" if self._drained else await self._read(size)
        if chunk:
            self._chunking.given(time.monotonic())
            return chunk
        await self.end()
        raise StopAsyncIteration

    @property
    def pipe(self) -> Pipe:
        """What a server may take the bytes from by itself, after `take_first` and before `end`. They are then no longer
        iterated."""
        return self._child.stdout

    def take_first(self) -> bytes:
        first, self._first = self._first, b""
        return first

    async def end(self) -> None:
        """Nothing more comes. Raises StreamCut if there should have."""
        returncode = await self._child.wait()
        if self._drained:
            raise StreamCut("the server is stopping")
        if returncode != 0:
            raise StreamCut(f"{self._child.name} ended with {returncode}: {self._child.stderr}")

    async def _read(self, size: int) -> bytes:
        try:
            async with asyncio.timeout(SILENT):
                return await self._child.read(size)
        except TimeoutError:
            raise StreamCut(f"{self._child.name} gave nothing for {SILENT:g} seconds") from None

    async def aclose(self) -> None:
        self._release_drain()
        ended, self._ended = self._ended, None
        try:
            await self._child.stop()
        finally:
            if ended is not None:
                ended()

"""A past span on its way out: as a body of which ranges can be had, or copied into a file.

The segments are opened one after another as their turn comes. One that has gone meanwhile, as its time was over,
cuts the stream; one that is open is read to its end.
"""

import asyncio
import hashlib
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

from mediastream.bodies import SlicedBody
from mediastream.errors import Unknown
from mediastream.http.ranges import Span as ByteSpan
from mediastream.live.recording.boxes import Mp4Invalid
from mediastream.live.recording.names import Segment
from mediastream.live.recording.shelf import heads, listed, path_of
from mediastream.live.recording.span import Part, Span, joined
from mediastream.openfile import OpenFile

COPY = 1024 * 1024  # bytes
NOTHING = "Nothing is recorded of that time; recording.json lists what there is."


class Recorded:
    """What is recorded of some time, ready to be sent (bodies.Content). `identity`: of exactly these bytes."""

    def __init__(self, folder: Path, span: Span) -> None:
        self.folder = folder
        self.span = span
        names = " ".join(part.segment.name for part in span.parts)
        self.identity = f"{folder.name} {hashlib.sha256(names.encode()).hexdigest()}"

    @property
    def size(self) -> int:
        return self.span.size

    @property
    def modified(self) -> int:
        return self.span.parts[-1].segment.end // 1000

    def body(self, pieces: Iterable[bytes | ByteSpan], most: int) -> "SpanBody":
        return SpanBody(self.folder, self.span, pieces, most)

    def close(self) -> None:
        """Nothing is open yet."""

    def chunks(self) -> Iterator[bytes]:
        """All of it, read in this thread. Raises OSError."""
        yield self.span.header
        for part in self.span.parts:
            with path_of(self.folder, part.segment).open("rb") as file:
                file.seek(part.start)
                for offset in range(0, part.size, COPY):
                    yield part.corrected(offset, file.read(min(COPY, part.size - offset)))


def look(folder: Path, start: int, end: int) -> Recorded:
    """What is recorded of this time, whole segments of it; waits for the disk. Raises Unknown."""
    try:
        return _look(folder, tuple(listed(folder, start, end)))
    except Mp4Invalid:
        raise Unknown(NOTHING) from None


@lru_cache(8)
def _look(folder: Path, found: tuple[Segment, ...]) -> Recorded:
    """A player asks for range after range of the same."""
    return Recorded(folder, joined(heads(folder, found)))


class SpanBody(SlicedBody):
    def __init__(self, folder: Path, span: Span, pieces: Iterable[bytes | ByteSpan], most: int) -> None:
        super().__init__(pieces, most)
        self._folder = folder
        self._span = span
        self._part: Part | None = None
        self._file: OpenFile | None = None

    async def _read(self, offset: int, size: int) -> bytes:
        header = self._span.header
        if offset < len(header):
            await asyncio.sleep(0)
            return header[offset : offset + size]
        part, at = self._span.part_at(offset)
        file = await self._opened(part)
        size = min(size, part.size - at)
        data = file.read_cached(part.start + at, size)
        if data is None:
            data = await self._read_in_thread(file, part.start + at, size)
        else:
            await asyncio.sleep(0)
        return part.corrected(at, data)

    async def _opened(self, part: Part) -> OpenFile:
        if self._file is None or self._part is not part:
            self._close_file()
            self._file = await OpenFile.open(path_of(self._folder, part.segment))
            self._part = part
        return self._file

    def _close_file(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()

    async def _read_in_thread(self, file: OpenFile, offset: int, size: int) -> bytes:
        """A read in a thread cannot be cancelled: until it is over, it is one more owner of the file."""
        reading = file.share().read(offset, size)
        reading.add_done_callback(lambda done: _read_over(done, file))
        return await asyncio.shield(reading)

    async def aclose(self) -> None:
        self._pieces.clear()
        self._close_file()


def _read_over(reading: "asyncio.Future[bytes]", file: OpenFile) -> None:
    if not reading.cancelled():
        reading.exception()  # retrieved, so that asyncio does not report it as lost
    file.close()

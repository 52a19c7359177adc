"""One run of a source: from its opening to its end, whatever reads it.

FFmpeg tells the codec of what it was given before it gives a picture. So no source is opened once more to be
looked at first: if what came is MJPEG already, the run is given up before its first picture, and the next one
copies. A video device is the other way round, as asking it for MJPEG is what makes it give MJPEG.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

from mediastream.live import jpeg
from mediastream.live.command import Command, command
from mediastream.live.facts import Facts, facts_of
from mediastream.live.failures import CaptureFailed, Reason, of_ffmpeg, said
from mediastream.live.frames import Frame, JpegSplitter
from mediastream.live.limits import LIMITS
from mediastream.live.sources import DEVICE, TEST, Source
from mediastream.live.terms import Terms
from mediastream.process import Child

READ = 64 * 1024  # bytes, which is what a pipe holds
_NO_SUCH_FORMAT = "Cannot find a proper format"
HEADER_WAIT = 1.0  # seconds after the first picture for what was said of the input, which comes by another pipe


class OtherWay(Exception):
    """The source is to be opened anew, its pictures copied or not."""

    def __init__(self, *, copy: bool) -> None:
        super().__init__(copy)
        self.copy = copy


class Capture(Protocol):
    """A source that is open. `facts`: None until the first picture has come; `every`: seconds between pictures
    that are asked for one by one, None where they come by themselves."""

    facts: Facts | None
    every: float | None

    async def read(self) -> list[Frame]:
        """The pictures that have come by now, perhaps none; waits for bytes.

        Raises CaptureFailed at its end, FrameTooLarge, or OtherWay.
        """

    def said(self) -> list[str]:
        """The last of what it told of trouble."""

    async def aclose(self) -> None: ...


@asynccontextmanager
async def opened(executable: str, source: Source, terms: Terms, *, copy: bool) -> AsyncIterator[Capture]:
    """The capture, closed in the end. Raises CaptureFailed if it cannot be opened."""
    capture = await _open(executable, source, terms, copy=copy)
    try:
        yield capture
    finally:
        await capture.aclose()


async def _open(executable: str, source: Source, terms: Terms, *, copy: bool) -> Capture:
    recorded = False
    if source.kind.by_http:
        from mediastream.live.http_capture import HttpCapture, open_http  # with aiohttp, see feeds/upstream.py

        found = await open_http(source, terms)
        if isinstance(found, HttpCapture):
            return found
        source, recorded = found.source, found.recorded
    wanted = command(executable, source, terms, copy=copy, recorded=recorded)
    return await FFmpegCapture.open(wanted, source, copy=copy)


class FFmpegCapture:
    every: float | None = None

    def __init__(self, child: Child, source: Source, *, copy: bool) -> None:
        self.facts: Facts | None = None
        self._child = child
        self._source = source
        self._copy = copy
        self._splitter = JpegSplitter()

    @classmethod
    async def open(cls, wanted: Command, source: Source, *, copy: bool) -> "FFmpegCapture":
        try:
            child = Child.spawn(wanted.argv, LIMITS, stdin=wanted.stdin)
        except OSError as fault:
            raise CaptureFailed(Reason.REFUSED, f"FFmpeg cannot be started: {fault.strerror}") from None
        return cls(child, source, copy=copy)

    async def read(self) -> list[Frame]:
        data = await self._child.read(READ)
        if not data:
            raise await self._end()
        if self.facts is None:
            self.facts = await self._look()
        now = time.time()
        return [Frame(jpeg.with_tables(picture), now) for picture in self._splitter.feed(data)]

    async def _end(self) -> Exception:
        returncode = await self._child.wait()
        stderr = self._child.stderr
        if self._copy and self._source.kind is DEVICE and _NO_SUCH_FORMAT in stderr:
            return OtherWay(copy=False)
        return of_ffmpeg(stderr, returncode, self._source.secrets, had_pictures=self.facts is not None)

    async def _look(self) -> Facts:
        """What FFmpeg has said of its input. Raises OtherWay if that is MJPEG, and not copied."""
        waited = time.monotonic() + HEADER_WAIT
        while "Output #0" not in self._child.stderr and time.monotonic() < waited:  # noqa: ASYNC110 - two pipes
            await asyncio.sleep(0.01)
        facts = facts_of(self._child.stderr, copied=self._copy)
        if facts.codec == "mjpeg" and not self._copy and self._source.kind is not TEST:
            raise OtherWay(copy=True)
        return facts

    def said(self) -> list[str]:
        return said(self._child.stderr, self._source.secrets)

    async def aclose(self) -> None:
        await self._child.stop()

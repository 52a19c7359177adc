"""FFmpeg as a camera's H.264 encoder: pictures in as Matroska (matroska.py), fragmented MP4 out (fmp4.py).

Latency decides its options. `zerolatency` gives each picture out before the next comes in; each becomes a fragment of
its own, which FFmpeg's muxer writes when the next picture tells how long it lasted. So a picture waits in it for one
interval, and for no more than that: the feed (video.py) repeats a picture that none follows.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import ffmpeg

from mediastream import streams
from mediastream.ffmpeg import last_words
from mediastream.live import matroska
from mediastream.live.fmp4 import Fmp4Broken, Fmp4Parser, Fragment, Init
from mediastream.live.frames import Frame
from mediastream.live.limits import LIMITS
from mediastream.process import Child

READ = 64 * 1024  # bytes, which is what a pipe holds
GOP = 2  # seconds from one keyframe to the next: what a joiner is given, and a slow viewer skips, at most
FIRST = 15.0  # seconds FFmpeg may take to its first fragment
STALLED = 6.0  # seconds it may give nothing while it is given pictures
IN_FLIGHT = 8  # pictures it may be behind; then some are left out, as late ones are worth nothing
NUDGE = 0.5  # seconds after which it gets another all the same: it may have thrown those away, as they were broken
BITS = 0.2  # for each pixel of each picture, at most on the average of a second
MAX_PIXELS = 64 * 1024 * 1024


class EncodingFailed(Exception):
    """A run of FFmpeg is over; the text says why."""


@dataclass(frozen=True)
class Encoded:
    """One picture as H.264. Unix seconds: when it was captured, and from when on it was the camera's picture: the
    two differ where one stands in for those that do not come."""

    fragment: Fragment
    captured: float
    shown: float

    @property
    def keyframe(self) -> bool:
        return self.fragment.keyframe


def argv(executable: str, size: tuple[int, int], fps: int) -> list[str]:
    """`size`: of the pictures; `fps`: as they usually come."""
    source = ffmpeg.input(
        # The stream says all of itself: to look at more of it would only take time.
        "pipe:0", f="matroska", probesize=32, analyzeduration=0, fpsprobesize=0, threads=1, max_pixels=MAX_PIXELS,
        protocol_whitelist="pipe", format_whitelist="matroska", codec_whitelist="mjpeg",
    )  # fmt: skip
    most = max(int(size[0] * size[1] * fps * BITS), 100_000)
    output = _fit(source["v:0"], size).output(
        "pipe:1", vcodec="libx264", preset="veryfast", tune="zerolatency", crf=23, maxrate=most, bufsize=most,
        force_key_frames=f"expr:gte(t,n_forced*{GOP})",
        # Times go through as they are, in milliseconds: FFmpeg would else round them to a constant rate.
        fps_mode="passthrough", enc_time_base="1:1000",
        f="mp4", movflags="empty_moov+default_base_moof+frag_every_frame", flush_packets=1,
    )  # fmt: skip
    output = output.global_args("-hide_banner", "-nostdin", "-nostats", "-loglevel", "level+error")
    return [str(word) for word in output.compile(cmd=executable)]


def _fit(video: ffmpeg.Stream, size: tuple[int, int]) -> ffmpeg.Stream:
    """What all decoders take: halved colours, so even sizes, and the range of television and not of JPEG."""
    width, height = (length - length % 2 for length in size)
    if (width, height) != size:
        video = video.filter("crop", width, height, 0, 0)
    return video.filter("scale", out_range="tv").filter("format", "yuv420p")


class Encoder:
    """`dropped`: pictures it was too slow for."""

    def __init__(self, child: Child) -> None:
        self.dropped = 0
        self.init: Init | None = None
        self._child = child
        self._parser = Fmp4Parser()
        self._began: float | None = None  # by the clock that never goes back
        self._offered: deque[tuple[int, float, float]] = deque(maxlen=1000)  # milliseconds, captured, shown
        self._last = -1  # milliseconds
        self._last_at = 0.0

    def offer(self, frame: Frame) -> bool:
        """Give it a picture of now; False if it is too far behind."""
        now, shown = time.monotonic(), time.time()
        behind = len(self._offered) >= IN_FLIGHT and now - self._last_at < NUDGE
        if self._began is None:
            self._began = now
        at = max(round(1000 * (now - self._began)), self._last + 1)
        if behind or not self._child.offer(matroska.picture(frame.jpeg, at)):
            self.dropped += 1
            streams.drop("encoder")
            return False
        self._last, self._last_at = at, now
        self._offered.append((at, frame.captured, shown))
        return True

    async def read(self) -> list[Init | Encoded]:
        """What has come by now, perhaps nothing; waits for bytes. Raises EncodingFailed at the end."""
        try:
            async with asyncio.timeout(FIRST if self.init is None else STALLED):
                data = await self._child.read(READ)
        except TimeoutError:
            raise EncodingFailed("FFmpeg gave nothing in time") from None
        if not data:
            code = await self._child.wait()
            words = f"it was ended by signal {-code}" if code < 0 else last_words(self._child.stderr)
            raise EncodingFailed(f"FFmpeg has ended: {words}")
        try:
            return [self._timed(found) for found in self._parser.feed(data)]
        except Fmp4Broken as fault:
            raise EncodingFailed(f"FFmpeg gave {fault}") from None

    def _timed(self, found: Init | Fragment) -> Init | Encoded:
        if isinstance(found, Init):
            self.init = found
            return found
        assert self.init is not None
        milliseconds = round(1000 * found.decode_time / self.init.timescale)
        captured = shown = 0.0
        while self._offered and self._offered[0][0] <= milliseconds:
            _, captured, shown = self._offered.popleft()
        return Encoded(found, captured or time.time(), shown or time.time())

    def kill(self) -> None:
        """End it now; `read` then raises."""
        self._child.kill()


@asynccontextmanager
async def opened(executable: str, size: tuple[int, int], fps: int) -> AsyncIterator[Encoder]:
    """The encoder, its child ended and reaped in the end. Raises EncodingFailed if it cannot be started."""
    try:
        child = Child.spawn(argv(executable, size, fps), LIMITS, fed=True)
    except OSError as fault:
        raise EncodingFailed(f"FFmpeg cannot be started: {fault.strerror}") from None
    try:
        child.offer(matroska.opening(*size, fps))
        yield Encoder(child)
    finally:
        await child.stop()

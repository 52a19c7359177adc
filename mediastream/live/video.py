"""A camera's H.264: one encoder for all who want it.

The feed is one more viewer of its camera, whatever kind of source that is. It starts FFmpeg with its first subscriber
and ends it a linger after the last, or with the camera. A subscriber gets the init segment and the whole present
group of pictures at once, so that a decoder shows something right away, and then each picture as it comes.

The encoder gets at least a few pictures a second: one that none follows is repeated, which costs a decoder nothing
and a stream some fifty bytes. So a slow camera's picture does not wait in FFmpeg for the next, and a player's clock
goes on while the scene stands still. A run of the encoder is for one size of pictures; it is started anew for another,
and after a failure.
"""

import asyncio
import logging
import time
from contextlib import suppress

from mediastream.errors import EncoderFailed
from mediastream.live import encoder as encoders
from mediastream.live import jpeg
from mediastream.live.camera import Camera
from mediastream.live.encoder import Encoded, Encoder, EncodingFailed
from mediastream.live.fmp4 import Init
from mediastream.live.frames import Frame
from mediastream.live.place import Place
from mediastream.live.rhythm import Backoff
from mediastream.live.viewer import Viewer

logger = logging.getLogger(__name__)

BACKOFF = (0.5, 8.0)  # seconds before the first retry, and at most
REPEAT = 0.15  # seconds without a picture after which the last is encoded again
MAX_GOP_BYTES = 8 * 1024 * 1024
MAX_GOP_PICTURES = 600


class Feed:
    """Lives on the home loop; `close` ends all it owns. `failure`: why the encoder gave nothing when last tried."""

    def __init__(self, camera: Camera, executable: str, linger: float) -> None:
        self.camera = camera
        self.init: Init | None = None  # of the present run
        self.failure: str | None = None
        self.closed = False
        self._executable = executable
        self._linger = linger
        self._places: set[Place] = set()
        self._gop: list[Encoded] = []
        self._gop_bytes = 0
        self._gave = False  # whether the present or last run did
        self._running: asyncio.Task[None] | None = None
        self._runs: set[asyncio.Task[None]] = set()  # that one, and those still ending their child
        self._leaving: asyncio.TimerHandle | None = None
        self._news = asyncio.Event()

    @property
    def subscribers(self) -> int:
        return len(self._places)

    def watching(self) -> int:
        """How many people there are among them: recorders are none."""
        return sum(not place.across for place in self._places.copy())

    def join(self, *, across: bool = False) -> Place:
        """A place for one more; starts the encoder if it rests. `across`: place.py."""
        place = Place(across=across)
        if self.closed or self.camera.closed:
            place.end()
            return place
        self._places.add(place)
        if self.init is not None:
            place.put_init(self.init)
            for encoded in self._gop:
                place.put(encoded)
        self._start_or_leave()
        return place

    def leave(self, place: Place) -> None:
        place.end()
        self._places.discard(place)
        self._start_or_leave()

    def _start_or_leave(self) -> None:
        if self.closed:
            return
        if self._places:
            if self._leaving is not None:
                self._leaving.cancel()
                self._leaving = None
            if self._running is None:
                self._start()
        elif self._running is not None and self._leaving is None:
            self._leaving = asyncio.get_running_loop().call_later(self._linger, self._rest)

    async def ready(self, deadline: float) -> Init:
        """The init segment, once there is a keyframe with it. `deadline`: seconds.

        Raises EncoderFailed as soon as an attempt to encode has failed.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(deadline):
                while not self._gop and self.failure is None and not self.closed:
                    self._news.clear()
                    await self._news.wait()
        if self._gop and self.init is not None:
            return self.init
        ended = "the camera has ended" if self.closed else "the encoder gave nothing in time"
        raise EncoderFailed(f"The camera's H.264 cannot be made now: {self.failure or ended}.", retry_after=5)

    def end(self) -> None:
        """End the subscribers and the encoder now; `close` also waits until the child is reaped."""
        self.closed = True
        for place in self._places:
            place.end()
        self._rest()

    async def close(self) -> None:
        self.end()
        if self._runs:
            await asyncio.wait(self._runs)

    def _start(self) -> None:
        self._running = asyncio.create_task(self._run(), name=f"encoder of {self.camera.slug}")
        self._runs.add(self._running)
        self._running.add_done_callback(self._over)

    def _over(self, task: "asyncio.Task[None]") -> None:
        self._runs.discard(task)
        if not task.cancelled() and (fault := task.exception()) is not None:
            logger.error("the H.264 of camera %s cannot go on", self.camera.slug, exc_info=fault)
            self.end()

    def _rest(self) -> None:
        self._leaving = None
        if self._running is not None:
            self._running.cancel()
            self._running = None
        self.failure = None
        self._forget()

    def _forget(self) -> None:
        """What came of the run that is over."""
        self.init = None
        self._gop, self._gop_bytes = [], 0
        self._news.set()

    async def _run(self) -> None:
        """Encode as long as it is wanted; wait longer after each failure in a row."""
        viewer = self.camera.join(through=self.watching)
        backoff = Backoff(*BACKOFF)
        try:
            frame = await viewer.take()
            while frame is not None:
                began = time.monotonic()
                try:
                    frame = await self._encode(viewer, frame)
                except EncodingFailed as fault:
                    self._fail(str(fault))
                    await asyncio.sleep(backoff.after(time.monotonic() - began))
                    frame = await viewer.take()
        finally:
            self.camera.leave(viewer)
        self._running = None
        self.end()

    async def _encode(self, viewer: Viewer, frame: Frame) -> Frame | None:
        """One run, from this picture on. Returns the first of another size, or None: the camera has ended."""
        size = jpeg.size(frame.jpeg)
        if size is None:
            return await viewer.take()
        self._gave = False
        async with encoders.opened(self._executable, size, self.camera.terms.fps) as encoder:
            writing = asyncio.create_task(self._write(encoder, viewer, frame, size))
            try:
                while True:
                    for found in await encoder.read():
                        self._publish(found)
            except EncodingFailed:
                if writing.done():  # it was that which ended the encoder
                    return writing.result()
                raise
            finally:
                writing.cancel()
                await asyncio.gather(writing, return_exceptions=True)
                self._cut()

    async def _write(self, encoder: Encoder, viewer: Viewer, frame: Frame, size: tuple[int, int]) -> Frame | None:
        """Give it each picture, until there is one of another size or no more."""
        following: Frame | None = frame
        try:
            while following is not None and jpeg.size(following.jpeg) in (size, None):
                frame = following
                encoder.offer(frame)
                following = await self._following(encoder, viewer, frame)
            return following
        finally:
            encoder.kill()

    async def _following(self, encoder: Encoder, viewer: Viewer, frame: Frame) -> Frame | None:
        while True:
            try:
                async with asyncio.timeout(REPEAT):
                    return await viewer.take()
            except TimeoutError:
                encoder.offer(frame)

    def _publish(self, found: Init | Encoded) -> None:
        if isinstance(found, Init):
            self.init = found
            for place in self._places:
                place.put_init(found)
            return
        if self.failure is not None:
            logger.info("camera %s is encoded again", self.camera.slug)
            self.failure = None
        self._gave = True
        self._remember(found)
        for place in self._places:
            place.put(found)

    def _remember(self, encoded: Encoded) -> None:
        """For those who join. A group that is too large is not kept: they wait for the next keyframe."""
        if encoded.keyframe:
            self._gop, self._gop_bytes = [], 0
        elif not self._gop:
            return
        self._gop.append(encoded)
        self._gop_bytes += len(encoded.fragment.data)
        if self._gop_bytes > MAX_GOP_BYTES or len(self._gop) > MAX_GOP_PICTURES:
            self._gop, self._gop_bytes = [], 0
        self._news.set()

    def _cut(self) -> None:
        """The run is over: so are those who cannot go on with another."""
        if self.init is None:
            return
        self._forget()
        for place in [place for place in self._places if not place.across]:
            place.end(cut=not self.camera.closed)

    def _fail(self, why: str) -> None:
        """One that gave pictures will probably give some again: who waits then waits for the next run."""
        if why != self.failure:
            logger.warning("the H.264 of camera %s breaks off: %s", self.camera.slug, why)
        if not self._gave:
            self.failure = why
            self._news.set()

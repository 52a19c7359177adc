"""The wall's socket: any number of cameras over one connection.

Chromium opens six connections to an origin (HTTP/1.1), and each MJPEG picture holds one for good: a page of
cameras needs one socket for all of them. The page says what it shows (wanted.py); the socket sends

- text: `{"camera": "yard", "number": 3, "state": "live"}` when a camera's state changes: `connecting`, `live`,
  `late`, `failed`, or `refused` with the reason in `detail`; and each second `{"time": 1795371948.1}`, by which the
  page knows how old its pictures are, whatever its own clock says, and that the connection still carries anything;
- binary: the camera's number (uint16), when the picture was captured (float64, Unix seconds), both big-endian,
  and the JPEG.

A camera's latest picture waits for its turn; one that is too late is dropped. So a slow connection sees fewer
pictures of all cameras, never old ones.
"""

import asyncio
import io
import json
import logging
import struct
import time
from typing import Any

from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings

from mediastream import access, ffmpeg, streams
from mediastream.delivery import Receive, Scope, Send
from mediastream.errors import Fault
from mediastream.lean import LeanRequest
from mediastream.live import registry, wanted
from mediastream.live.camera import Camera
from mediastream.live.condition import State
from mediastream.live.frames import Frame
from mediastream.live.known import KnownCamera, right_to
from mediastream.live.rhythm import Pace
from mediastream.live.scaling import fitting, scaled
from mediastream.request_threads import lean_threads
from mediastream.streams import Label, Stream

logger = logging.getLogger(__name__)

HEAD = struct.Struct("!Hd")
LOOK_EVERY = 1.0  # seconds: at states
PATIENCE = 60.0  # seconds one message may wait for its page
_STATES = {State.LIVE: "live", State.LATE: "late", State.RECONNECTING: "failed"}


class Shown:
    """One camera on one page."""

    def __init__(self, number: int, right: access.Right[KnownCamera], news: asyncio.Event) -> None:
        self.number = number
        self.slug = right.item.slug
        self.right = right
        self.width: int | None = None
        self.state = ""
        self.stream = Stream(Label("wall", self.slug), right.holds, self.revoke, right.visitor.pk)
        self._news = news
        self._frame: Frame | None = None
        self._pace: Pace | None = None
        self._camera: Camera = registry.camera(self.slug, right.item.terms, ffmpeg.executable(settings.FFMPEG))
        self._viewer = self._camera.join()
        self._viewer.feed(self.offer)
        self.revoked = False

    def fit(self, tile: wanted.Tile) -> None:
        self.width = fitting(tile.width) if tile.width else None
        self._pace = Pace(tile.fps) if tile.fps is not None else None

    def offer(self, frame: Frame) -> bool:
        """The camera's latest; False if the one before was not taken."""
        if self._pace is not None and not self._pace.due(time.monotonic()):
            return True
        late, self._frame = self._frame is not None, frame
        self._news.set()
        return not late

    def take(self) -> Frame | None:
        frame, self._frame = self._frame, None
        return frame

    def current_state(self) -> str:
        if self._camera.closed:
            return "failed"
        return _STATES.get(self._camera.state, "connecting")

    @property
    def over(self) -> bool:
        """Whether it must be opened anew: the camera was changed or has ended."""
        return self._camera.closed

    def revoke(self) -> None:
        """At once, not when the socket gets to it, which a page that has paused keeps waiting."""
        self.revoked = True
        self.close()
        self._news.set()

    def close(self) -> None:
        """Safe to repeat."""
        self._viewer.end()
        self._camera.leave(self._viewer)
        if self.stream.reason == streams.COMPLETE and not self.over:
            self.stream.reason = streams.LEFT
        streams.closed(self.stream)


class Wall(AsyncWebsocketConsumer):
    """One page's socket. `_pump` sends; Channels calls the rest, one message after the other."""

    channel_layer_alias = ""  # it is in no group

    def __init__(self) -> None:
        super().__init__()
        self._shown: dict[str, Shown] = {}
        self._wanted: dict[str, wanted.Tile] = {}
        self._refused: set[str] = set()  # since the page's last message
        self._numbers: dict[str, int] = {}
        self._news = asyncio.Event()
        self._changing = asyncio.Lock()  # who opens and closes cameras: the page's message, or the look at states
        self._pumping: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Whatever ends the connection ends what it opened. Channels' `disconnect` would not do: it is left out
        after a handler that failed, as one does that tells something to a page that has just left."""
        try:
            async with asyncio.TaskGroup() as self._tasks:
                await super().__call__(scope, receive, send)
                if self._pumping is not None:
                    self._pumping.cancel()
        except* OSError:  # TimeoutError is one
            logger.debug("the page left while something was sent to it, or took nothing")
        finally:
            while self._shown:
                self._shown.popitem()[1].close()

    async def connect(self) -> None:
        await self.accept()
        self._pumping = self._tasks.create_task(self._pump(), name="wall")

    async def send(self, *args: Any, **options: Any) -> None:
        """Raises TimeoutError, which ends the socket, if its page takes nothing for too long."""
        async with asyncio.timeout(PATIENCE):
            await super().send(*args, **options)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        try:
            self._wanted = wanted.parse(text_data or "")
        except wanted.WantedInvalid as fault:
            await self._tell(error="bad_input", detail=f"This message has no meaning here: {fault}.")
            return
        self._refused.clear()
        await self._arrange()

    async def _arrange(self) -> None:
        """Open and close cameras until what is shown is what is wanted."""
        async with self._changing:
            for slug, shown in list(self._shown.items()):
                if slug not in self._wanted or shown.revoked or shown.over:
                    self._shown.pop(slug).close()
            for slug, tile in self._wanted.items():
                if slug not in self._shown and slug not in self._refused:
                    await self._open(slug)
                if slug in self._shown:
                    self._shown[slug].fit(tile)
        self._news.set()

    async def _open(self, slug: str) -> None:
        number = self._numbers.setdefault(slug, len(self._numbers))
        try:
            right = await self._right_to(slug)
        except Fault as fault:
            await self._tell(camera=slug, number=number, state="refused", detail=fault.detail)
            self._refused.add(slug)
            return
        self._shown[slug] = shown = Shown(number, right, self._news)
        streams.opened(shown.stream, brief=False)

    async def _right_to(self, slug: str) -> access.Right[KnownCamera]:
        """As for an HTTP request with this handshake's headers."""
        request = LeanRequest({**self.scope, "method": "GET"}, io.BytesIO())
        with lean_threads():
            return await right_to(request, slug)

    async def _pump(self) -> None:
        """Send the pictures that wait, a turn for each camera; look at states once a second."""
        loop = asyncio.get_running_loop()
        look_at = 0.0
        while True:
            if loop.time() >= look_at:
                look_at = loop.time() + LOOK_EVERY
                await self._look()
            self._news.clear()
            for shown in list(self._shown.values()):
                frame = shown.take()
                if frame is not None and not shown.revoked:
                    await self._send_picture(shown, frame)
            if not self._news.is_set():
                await _either(self._news, look_at - loop.time())

    async def _send_picture(self, shown: Shown, frame: Frame) -> None:
        # A camera that is tried again sends pictures too, which say so.
        if (state := shown.current_state()) != shown.state:
            await self._say(shown, state)
        jpeg = await scaled(frame, shown.width)
        await self.send(bytes_data=HEAD.pack(shown.number, frame.captured) + jpeg)
        shown.stream.bytes += HEAD.size + len(jpeg)

    async def _look(self) -> None:
        if any(shown.revoked or shown.over for shown in self._shown.values()):
            await self._arrange()
        for shown in list(self._shown.values()):
            if (state := shown.current_state()) != shown.state:
                await self._say(shown, state)
        await self._tell(time=time.time())

    async def _say(self, shown: Shown, state: str) -> None:
        shown.state = state
        await self._tell(camera=shown.slug, number=shown.number, state=state)

    async def _tell(self, **what: Any) -> None:
        await self.send(text_data=json.dumps(what))


async def _either(news: asyncio.Event, seconds: float) -> None:
    """Return when there is news, or after that time."""
    try:
        async with asyncio.timeout(max(seconds, 0)):
            await news.wait()
    except TimeoutError:
        pass

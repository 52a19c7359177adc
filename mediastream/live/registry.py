"""The cameras this process has open, by slug; all of them on the home loop.

Most start with their first viewer. Those that are always on are kept so by a process that serves: `serve` says
that this one does, and `keep_on` which they are.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from mediastream import drain
from mediastream.broadcast import BroadcastBody, Sink
from mediastream.errors import StreamCut
from mediastream.http.multipart import MIXED_HEARTBEAT, MIXED_OPENING
from mediastream.live.camera import Camera
from mediastream.live.condition import Condition, State
from mediastream.live.frames import Frame
from mediastream.live.terms import Terms
from mediastream.live.viewer import Viewer

LINGER = 5.0  # seconds a source goes on without viewers: longer than a reload, shorter than a bill
FIRST_FRAME = 12.0  # seconds a viewer waits for a source to open: an RTSP camera may take ten
STANDSTILL = 60.0  # seconds a viewer waits for the next picture: something comes every ten, whatever happens

_cameras: dict[str, Camera] = {}
_always_on: set[str] = set()
_serving = False
_closing: set[asyncio.Task[None]] = set()  # of cameras that are no longer listed, until their child is reaped


class MjpegBody(BroadcastBody):
    """multipart/x-mixed-replace, one part for each frame the viewer is quick enough to take.

    It stays open while the camera fails, as its pictures then say so (audience.py).
    """

    closes_at_once = True

    def __init__(self, camera: Camera, viewer: Viewer) -> None:
        self._camera = camera
        self._viewer = viewer
        self._opened = False

    async def __anext__(self) -> bytes:
        try:
            async with asyncio.timeout(STANDSTILL):
                frame = await self._viewer.take()
        except TimeoutError:
            raise StreamCut(f"the camera has given no picture for {STANDSTILL:g} seconds") from None
        if frame is None:
            raise StopAsyncIteration
        await asyncio.sleep(0)  # a frame may have been waiting already
        if self._opened:
            return frame.part.plain
        self._opened = True
        return MIXED_OPENING + frame.part.plain

    async def broadcast(self, sink: Sink) -> None:
        with self._camera.audience.feeding(self._viewer, sink):
            await self._stands_still_or_over()

    async def _stands_still_or_over(self) -> None:
        over = asyncio.ensure_future(self._viewer.over())
        try:
            while not over.done():
                seen = self._camera.audience.offered
                await asyncio.wait({over}, timeout=STANDSTILL)
                if not over.done() and self._camera.audience.offered is seen:
                    raise StreamCut(f"the camera has given no picture for {STANDSTILL:g} seconds")
        finally:
            over.cancel()

    async def aclose(self) -> None:
        self._viewer.end()
        self._camera.leave(self._viewer)

    def heartbeat(self) -> bytes:
        return MIXED_HEARTBEAT if self._opened else b""


def camera(slug: str, terms: Terms, executable: str) -> Camera:
    """The open camera of this slug; one that was opened on other terms is ended and opened anew."""
    known = _cameras.get(slug)
    if known is not None and known.terms == terms and not known.closed:
        return known
    if known is not None:
        _retire(slug)
    _cameras[slug] = opened = Camera(slug, terms, executable, LINGER)
    opened.keep(slug in _always_on)
    return opened


def serve() -> None:
    """This process serves; called before the first `keep_on`."""
    global _serving
    _serving = True


def serves() -> bool:
    """Whether cameras that are always on are to run in this process. Any thread may ask."""
    return _serving


async def keep_on(wanted: dict[str, Terms], executable: str) -> None:
    """From now on these run without viewers too, and no others."""
    if not _serving or drain.begun():
        return
    _always_on.clear()
    _always_on.update(wanted)
    for slug, opened in _cameras.items():
        opened.keep(slug in _always_on)
    for slug, terms in wanted.items():
        camera(slug, terms, executable)


def open_terms() -> dict[str, Terms]:
    """What is open, and on which terms. Any thread may ask."""
    return {slug: listed.terms for slug, listed in _cameras.copy().items()}


async def end(slugs: Iterable[str], unless: dict[str, Terms]) -> None:
    """End these cameras and all their viewers, except who is open on the terms that `unless` names."""
    for slug in slugs:
        if slug in _cameras and _cameras[slug].terms != unless.get(slug):
            _retire(slug)


def _retire(slug: str) -> None:
    """Off the list and ended now; nobody need wait until the child is reaped, but `close_all` does."""
    retired = _cameras.pop(slug)
    retired.end()
    closing = asyncio.create_task(retired.close(), name=f"closing camera {slug}")
    _closing.add(closing)
    closing.add_done_callback(_closing.discard)


async def open_mjpeg(slug: str, terms: Terms, executable: str, fps: float | None = None) -> MjpegBody:
    """A body for one viewer, with the first frame at hand. Raises SourceFailed if there is none.

    `fps`: pictures a second the viewer wants at most.
    """
    opened = camera(slug, terms, executable)
    viewer = opened.join(fps)
    try:
        await opened.latest.picture(FIRST_FRAME)
    except BaseException:
        opened.leave(viewer)
        raise
    return MjpegBody(opened, viewer)


async def snapshot(slug: str, terms: Terms, executable: str, max_age: float | None) -> tuple[Frame, State]:
    """The latest frame, the source being started for it if need be. Raises SourceFailed.

    `max_age`: seconds it may be old; None: while the source is failing, the last picture comes as one that
    says how old it is.
    """
    opened = camera(slug, terms, executable)
    async with watching(opened):
        frame = await opened.latest.picture(FIRST_FRAME, max_age)
        if max_age is None and opened.state is State.RECONNECTING:
            frame = await opened.latest.stand_in() or frame
        return frame, opened.state


def condition(slug: str, terms: Terms | None = None) -> Condition:
    """How it is now; None: on whatever terms. Any thread may ask; nothing is started."""
    known = _cameras.get(slug)
    if known is None or terms not in (None, known.terms):
        return Condition(State.RESTING)
    return known.condition


@asynccontextmanager
async def watching(opened: Camera) -> AsyncIterator[Viewer]:
    """Have it run meanwhile."""
    viewer = opened.join()
    try:
        yield viewer
    finally:
        opened.leave(viewer)


async def close_all() -> None:
    """End every camera and wait until its child is reaped."""
    global _serving
    _serving = False
    _always_on.clear()
    for slug in list(_cameras):
        _retire(slug)
    await asyncio.gather(*_closing)

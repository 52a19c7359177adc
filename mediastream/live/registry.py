"""The cameras this process has open, by slug; all of them on the home loop."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from mediastream.bodies import Body
from mediastream.errors import StreamCut
from mediastream.http.multipart import MIXED_OPENING
from mediastream.live.camera import SILENCE, Camera, Terms, Viewer
from mediastream.live.frames import Frame

LINGER = 5.0  # seconds a source goes on without viewers: longer than a reload, shorter than a bill
FIRST_FRAME = 12.0  # seconds a viewer waits for a source to open: an RTSP camera may take ten
STANDSTILL = 2 * SILENCE  # seconds a viewer waits for the next picture: a restart of the source fits in

_cameras: dict[str, Camera] = {}
_closing: set[asyncio.Task[None]] = set()  # of cameras that are no longer listed, until their child is reaped


class MjpegBody(Body):
    """multipart/x-mixed-replace, one part for each frame the viewer is quick enough to take.

    A camera that stands still cuts the stream: who looks at a frozen picture learns it by nothing else.
    """

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
            return frame.part
        self._opened = True
        return MIXED_OPENING + frame.part

    async def aclose(self) -> None:
        self._viewer.end()
        self._camera.leave(self._viewer)


def camera(slug: str, terms: Terms, executable: str) -> Camera:
    """The open camera of this slug; one that was opened on other terms is ended and opened anew."""
    known = _cameras.get(slug)
    if known is not None and known.terms == terms and not known.closed:
        return known
    if known is not None:
        _retire(slug)
    _cameras[slug] = Camera(slug, terms, executable, LINGER)
    return _cameras[slug]


def open_terms() -> dict[str, Terms]:
    """What is open, and on which terms. The one function here that any thread may call."""
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


async def open_mjpeg(slug: str, terms: Terms, executable: str) -> MjpegBody:
    """A body for one viewer, with the first frame at hand. Raises SourceFailed if there is none."""
    opened = camera(slug, terms, executable)
    viewer = opened.join()
    try:
        await opened.first_frame(FIRST_FRAME)
    except BaseException:
        opened.leave(viewer)
        raise
    return MjpegBody(opened, viewer)


async def snapshot(slug: str, terms: Terms, executable: str) -> Frame:
    """The latest frame, the source being started for it if need be. Raises SourceFailed."""
    opened = camera(slug, terms, executable)
    async with _watching(opened):
        return await opened.first_frame(FIRST_FRAME)


@asynccontextmanager
async def _watching(opened: Camera) -> AsyncIterator[Viewer]:
    viewer = opened.join()
    try:
        yield viewer
    finally:
        opened.leave(viewer)


async def close_all() -> None:
    """End every camera and wait until its child is reaped."""
    for slug in list(_cameras):
        _retire(slug)
    await asyncio.gather(*_closing)

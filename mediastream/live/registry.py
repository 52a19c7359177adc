"""The cameras this process has open, by slug; all of them on the home loop."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from mediastream.bodies import Body
from mediastream.http.multipart import MIXED_OPENING
from mediastream.live import sources
from mediastream.live.camera import Camera, Viewer
from mediastream.live.frames import Frame

LINGER = 5.0  # seconds a source goes on without viewers: longer than a reload, shorter than a bill
FIRST_FRAME = 12.0  # seconds a viewer waits for a source to open: an RTSP camera may take ten

_cameras: dict[str, Camera] = {}


class MjpegBody(Body):
    """multipart/x-mixed-replace, one part for each frame the viewer is quick enough to take."""

    def __init__(self, camera: Camera, viewer: Viewer) -> None:
        self._camera = camera
        self._viewer = viewer
        self._opened = False

    async def __anext__(self) -> bytes:
        frame = await self._viewer.take()
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


def camera(slug: str, source: str, fps: int, executable: str) -> Camera:
    """The open camera of this slug; one whose source has been changed since is ended and opened anew."""
    known = _cameras.get(slug)
    if known is not None and (known.source.text, known.fps) == (source, fps) and not known.closed:
        return known
    if known is not None:
        known.end()
    _cameras[slug] = Camera(slug, sources.parse(source), fps, executable, LINGER)
    return _cameras[slug]


async def open_mjpeg(slug: str, source: str, fps: int, executable: str) -> MjpegBody:
    """A body for one viewer, with the first frame at hand. Raises SourceFailed if there is none."""
    opened = camera(slug, source, fps, executable)
    viewer = opened.join()
    try:
        await opened.first_frame(FIRST_FRAME)
    except BaseException:
        opened.leave(viewer)
        raise
    return MjpegBody(opened, viewer)


async def snapshot(slug: str, source: str, fps: int, executable: str) -> Frame:
    """The latest frame, the source being started for it if need be. Raises SourceFailed."""
    opened = camera(slug, source, fps, executable)
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
    cameras = list(_cameras.values())
    _cameras.clear()
    await asyncio.gather(*(opened.close() for opened in cameras))

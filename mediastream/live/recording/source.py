"""What a recorder takes: the camera's H.264 as its viewers get it, but for the pictures that only stand in."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from mediastream.live import registry, videos
from mediastream.live.camera import Camera
from mediastream.live.encoder import Encoded
from mediastream.live.place import Place
from mediastream.live.recording.recorder import Piece
from mediastream.live.terms import Terms
from mediastream.live.video import Feed


class CameraPieces:
    """While the source fails, its pictures say so to viewers; a recording has a gap there."""

    def __init__(self, camera: Camera, feed: Feed, place: Place) -> None:
        self._camera, self._feed, self._place = camera, feed, place
        self._init = b""

    async def take(self) -> Piece | None:
        while (found := await self._place.take()) is not None:
            if not isinstance(found, Encoded):
                self._init = found.data
            elif self._camera.latest.failure is None:
                fragment = found.fragment
                return Piece(self._init, fragment.data, fragment.decode_time, fragment.duration, found.shown)
        return None

    def trouble(self) -> str:
        return str(self._camera.latest.failure or self._feed.failure or "no picture comes")


@asynccontextmanager
async def pieces(slug: str, terms: Terms, executable: str) -> AsyncIterator[CameraPieces]:
    """A place at the camera, which runs as long as somebody has one."""
    camera = registry.camera(slug, terms, executable)
    feed = videos.feed(camera, executable)
    place = feed.join(across=True)
    try:
        yield CameraPieces(camera, feed, place)
    finally:
        feed.leave(place)

"""The H.264 of this process's cameras, by camera, and the body that gives one viewer theirs; on the home loop."""

import asyncio

from mediastream.broadcast import BroadcastBody, Sink
from mediastream.errors import StreamCut
from mediastream.live import registry
from mediastream.live.camera import Camera
from mediastream.live.encoder import Encoded
from mediastream.live.fmp4 import Init
from mediastream.live.place import Place
from mediastream.live.terms import Terms
from mediastream.live.video import Feed

_feeds: dict[str, Feed] = {}
_closing: set[asyncio.Task[None]] = set()  # of feeds that are no longer listed, until their child is reaped


class VideoBody(BroadcastBody):
    """The init segment, and a fragment for each picture; a viewer who is too slow goes on with a keyframe.

    It is cut when the encoder is started anew, as a player needs to start anew then too.
    """

    closes_at_once = True

    def __init__(self, feed: Feed, place: Place, init: Init) -> None:
        self.init = init
        self._feed = feed
        self._place = place

    async def __anext__(self) -> bytes:
        found = await self._place.take()
        if found is None:
            self._check()
            raise StopAsyncIteration
        await asyncio.sleep(0)  # it may have been waiting already
        return found.fragment.data if isinstance(found, Encoded) else found.data

    async def broadcast(self, sink: Sink) -> None:
        self._place.feed(sink.offer)
        try:
            await self._place.over()
        finally:
            self._place.feed(None)
        self._check()

    def _check(self) -> None:
        if self._place.cut:
            raise StreamCut("the encoder has ended, and is started anew")

    async def aclose(self) -> None:
        self._feed.leave(self._place)


def feed(camera: Camera, executable: str) -> Feed:
    """The camera's feed. It is closed already if the camera is."""
    for slug in [slug for slug, listed in _feeds.items() if listed.closed or listed.camera.closed]:
        _retire(slug)
    known = _feeds.get(camera.slug)
    if known is not None and known.camera is camera:
        return known
    if known is not None:
        _retire(camera.slug)
    _feeds[camera.slug] = made = Feed(camera, executable, registry.LINGER)
    return made


def _retire(slug: str) -> None:
    """Off the list and ended now; nobody need wait until the child is reaped, but `close_all` does."""
    closing = asyncio.create_task(_feeds.pop(slug).close(), name=f"closing the H.264 of camera {slug}")
    _closing.add(closing)
    closing.add_done_callback(_closing.discard)


async def close_all() -> None:
    """End every feed and wait until its child is reaped."""
    for slug in list(_feeds):
        _retire(slug)
    await asyncio.gather(*_closing)


async def open_video(slug: str, terms: Terms, executable: str) -> VideoBody:
    """A body for one viewer, with a keyframe at hand. Raises SourceFailed or EncoderFailed if there is none."""
    camera = registry.camera(slug, terms, executable)
    async with registry.watching(camera):
        await camera.latest.picture(registry.FIRST_FRAME)
        joined = feed(camera, executable)
        place = joined.join()
    try:
        return VideoBody(joined, place, await joined.ready(registry.FIRST_FRAME))
    except BaseException:
        joined.leave(place)
        raise

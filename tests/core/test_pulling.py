"""A body pulled by a thread: heartbeats while it is quiet, and an end to silence."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress

import pytest

from mediastream import homeloop, pulling
from mediastream.bodies import Body
from mediastream.errors import StreamCut
from mediastream.http.multipart import MIXED_HEARTBEAT, MIXED_OPENING, mixed_part
from mediastream.live.camera import Camera, Terms
from mediastream.live.frames import Frame
from mediastream.live.registry import MjpegBody

BEAT = b"beat"


class Slow(Body):
    """Gives its chunks, None for a silence that lasts until the test ends it."""

    def __init__(self, *given: bytes | None, beat: bytes = b"", patience: float = 60.0) -> None:
        self.given = list(given)
        self.beat = beat
        self.patience = patience
        self.cancelled = False

    async def __anext__(self) -> bytes:
        if not self.given:
            raise StopAsyncIteration
        chunk = self.given.pop(0)
        if chunk is not None:
            return chunk
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        raise AssertionError

    async def aclose(self) -> None:
        pass

    def heartbeat(self) -> bytes:
        return self.beat


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulling, "HEARTBEAT", 0.02)


def test_what_flows_gets_no_heartbeat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulling, "HEARTBEAT", 60.0)
    assert list(pulling.chunks(Slow(b"a", b"b", beat=BEAT))) == [b"a", b"b"]


def test_a_quiet_stream_gets_heartbeats_until_its_viewer_has_gone() -> None:
    body = Slow(None, beat=BEAT, patience=0.01)
    pulled = pulling.chunks(body)
    assert [next(pulled) for _ in range(3)] == [BEAT, BEAT, BEAT]
    pulled.close()  # type: ignore[attr-defined]
    homeloop.call(asyncio.sleep(0))
    assert body.cancelled


def test_a_chunk_that_comes_after_heartbeats_is_not_lost() -> None:
    class Late(Slow):
        async def __anext__(self) -> bytes:
            await asyncio.sleep(0.1)
            return await super().__anext__()

    pulled = list(pulling.chunks(Late(b"a", b"b", beat=BEAT)))
    assert [chunk for chunk in pulled if chunk != BEAT] == [b"a", b"b"]
    assert pulled.count(BEAT) >= 2


def test_where_nothing_may_be_sent_silence_ends_with_patience() -> None:
    body = Slow(b"a", None, patience=0.5)
    pulled = pulling.chunks(body)
    assert next(pulled) == b"a"
    with pytest.raises(StreamCut, match="the stream gave nothing"):
        next(pulled)
    homeloop.call(asyncio.sleep(0))
    assert body.cancelled


def test_a_body_that_gives_up_by_itself_is_not_taken_for_a_quiet_one() -> None:
    class Late(Slow):
        async def __anext__(self) -> bytes:
            raise TimeoutError("its own")

    with pytest.raises(TimeoutError, match="its own"):
        next(pulling.chunks(Late(beat=BEAT)))


@pytest.fixture
def watched() -> Iterator[tuple[Camera, MjpegBody]]:
    """A camera's body without its source: the test publishes the frames."""

    async def opened() -> tuple[Camera, MjpegBody]:
        camera = Camera("yard", Terms("test-pattern", 5, "public"), "ffmpeg", 0.0)
        camera._capturing = asyncio.create_task(asyncio.sleep(3600))
        return camera, MjpegBody(camera, camera.join())

    camera, body = homeloop.call(opened())
    yield camera, body
    with suppress(asyncio.CancelledError):
        homeloop.call(camera.close(), 10)


def test_a_quiet_camera(watched: tuple[Camera, MjpegBody]) -> None:
    """No heartbeat before the first boundary: there it would be no header field of a part."""
    camera, body = watched
    first, second = Frame(b"\xff\xd8one\xff\xd9", 1.0), Frame(b"\xff\xd8two\xff\xd9", 2.0)
    assert body.heartbeat() == b""
    homeloop.soon(lambda: camera._publish(first))
    pulled = pulling.chunks(body)
    assert next(pulled) == MIXED_OPENING + mixed_part(first.jpeg, 1.0)
    assert [next(pulled), next(pulled)] == [MIXED_HEARTBEAT] * 2
    homeloop.soon(lambda: camera._publish(second))
    rest = (chunk for chunk in pulled if chunk != MIXED_HEARTBEAT)
    assert next(rest) == mixed_part(second.jpeg, 2.0)

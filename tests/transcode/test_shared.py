"""One encode for all who watch from the beginning, and the file that comes of it: whoever leaves, fails or is slow."""

import asyncio
import errno
import os
import shutil
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import pytest

from mediastream import drain
from mediastream.bodies import Body
from mediastream.errors import StreamCut, TranscodeFailed
from transcode import draft, shared
from transcode.cache import Cache

CHUNK = 100 * 1024
WHOLE = b"".join(bytes([number]) * CHUNK for number in range(30))
KEY = "item/stream-1.mp4"


class Source(Body):
    """Gives WHOLE, chunk by chunk, up to `stop`; `fault` instead of its end. Counts what was asked for."""

    def __init__(self, stop: int = 30, fault: str = "") -> None:
        self.asked = 0
        self.closed = False
        self._stop, self._fault = stop, fault

    async def __anext__(self) -> bytes:
        await asyncio.sleep(0)
        if self.asked == self._stop:
            if self._fault:
                raise StreamCut(self._fault)
            raise StopAsyncIteration
        self.asked += 1
        return WHOLE[(self.asked - 1) * CHUNK : self.asked * CHUNK]

    async def aclose(self) -> None:
        self.closed = True


@pytest.fixture
async def cache(tmp_path: Path) -> AsyncIterator[Cache]:
    kept = Cache(tmp_path, 100 * len(WHOLE))
    yield kept
    assert not shared._known
    assert not list(tmp_path.rglob(".draft-*"))
    assert kept.bytes == sum(path.stat().st_size for path in tmp_path.rglob("*.mp4"))


def giving(source: Body) -> Callable[[], Awaitable[Body]]:
    async def begin() -> Body:
        await asyncio.sleep(0)
        return source

    return begin


async def never() -> Body:
    raise AssertionError("nobody should begin another")


async def rest(body: Body) -> bytes:
    return b"".join([chunk async for chunk in body])


async def settled(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


def hold(monkeypatch: pytest.MonkeyPatch, owner: type, name: str) -> tuple[threading.Event, threading.Event]:
    """Have a method, in whichever thread, say that it is called, and wait to be let go."""
    called, go = threading.Event(), threading.Event()
    method = getattr(owner, name)

    def held(*args: object) -> object:
        called.set()
        assert go.wait(10)
        return method(*args)

    monkeypatch.setattr(owner, name, held)
    return called, go


def open_files() -> list[str]:
    found = []
    for entry in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            found.append(os.readlink(f"/proc/self/fd/{entry}"))
    return found


async def test_all_get_the_same_and_it_is_kept(cache: Cache) -> None:
    source = Source()
    bodies = [await shared.opened(KEY, giving(source), cache)]
    bodies += [await shared.opened(KEY, never, cache) for _ in range(4)]
    assert set(await asyncio.gather(*map(rest, bodies))) == {WHOLE}
    await settled(lambda: source.closed)
    path = await cache.find(KEY)
    assert path is not None
    assert path.read_bytes() == WHOLE
    for body in bodies:
        await body.aclose()


async def test_who_comes_late_has_the_beginning_too(cache: Cache) -> None:
    first = await shared.opened(KEY, giving(Source()), cache)
    had = b"".join([await anext(first) for _ in range(25)])
    late = await shared.opened(KEY, never, cache)
    assert await rest(late) == WHOLE
    assert had + await rest(first) == WHOLE
    await first.aclose()
    await late.aclose()


async def test_it_is_pulled_a_little_ahead_of_the_foremost_alone(cache: Cache) -> None:
    source = Source()
    body = await shared.opened(KEY, giving(source), cache)
    slow = await shared.opened(KEY, never, cache)
    bound = shared.AHEAD // CHUNK + 1
    await settled(lambda: source.asked == bound)
    await asyncio.sleep(0.05)
    assert source.asked == bound
    for _ in range(10):
        await anext(body)
    await settled(lambda: source.asked == bound + 10)
    await body.aclose()
    assert not source.closed  # the other still watches
    assert await rest(slow) == WHOLE
    await slow.aclose()


@pytest.mark.parametrize("read", [0, 3])
async def test_the_last_to_leave_ends_it_at_once(cache: Cache, read: int) -> None:
    source = Source()
    bodies = [await shared.opened(KEY, giving(source), cache) for _ in range(2)]
    for _ in range(read):
        await anext(bodies[0])
    await bodies[0].aclose()
    assert not source.closed
    await bodies[1].aclose()
    await bodies[1].aclose()
    assert source.closed
    assert await cache.find(KEY) is None
    again = await shared.opened(KEY, giving(Source()), cache)
    assert await rest(again) == WHOLE
    await again.aclose()


async def test_who_leaves_before_it_has_begun_ends_it(cache: Cache) -> None:
    ended = asyncio.Event()

    async def begin() -> Body:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()
        raise AssertionError

    waiting = asyncio.create_task(shared.opened(KEY, begin, cache))
    await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert ended.is_set()


async def test_what_keeps_it_from_beginning_is_told_to_all(cache: Cache) -> None:
    async def begin() -> Body:
        await asyncio.sleep(0.01)
        raise TranscodeFailed("no")

    found = await asyncio.gather(*(shared.opened(KEY, begin, cache) for _ in range(3)), return_exceptions=True)
    assert [str(fault) for fault in found] == ["no"] * 3


async def test_a_failure_half_way_cuts_all_and_keeps_nothing(cache: Cache) -> None:
    source = Source(8, "FFmpeg ended with 1")
    bodies = [await shared.opened(KEY, giving(source), cache) for _ in range(2)]
    for body in bodies:
        with pytest.raises(StreamCut, match="ended with 1"):
            await rest(body)
        await body.aclose()
    assert source.closed
    assert await cache.find(KEY) is None


async def test_without_room_in_the_cache_the_foremost_go_on(tmp_path: Path) -> None:
    cache = Cache(tmp_path, 12 * CHUNK)
    body = await shared.opened(KEY, giving(Source()), cache)
    slow = await shared.opened(KEY, never, cache)
    assert await rest(body) == WHOLE
    with pytest.raises(StreamCut, match="no room"):
        await rest(slow)
    await body.aclose()
    await slow.aclose()
    assert cache.bytes == 0
    assert not list(tmp_path.rglob("*.mp4")) + list(tmp_path.rglob(".draft-*"))


async def test_a_full_disk_ends_the_draft_and_nobodys_stream(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    append, written = draft._append, 0

    def full(fd: int, data: bytes) -> None:
        nonlocal written
        written += len(data)
        if written > 5 * CHUNK:
            raise OSError(errno.ENOSPC, "no space")
        append(fd, data)

    monkeypatch.setattr(draft, "_append", full)
    body = await shared.opened(KEY, giving(Source()), cache)
    assert await rest(body) == WHOLE
    await body.aclose()
    assert (cache.bytes, await cache.find(KEY)) == (0, None)


async def test_a_folder_emptied_meanwhile_cuts_nobody(cache: Cache) -> None:
    body = await shared.opened(KEY, giving(Source()), cache)
    slow = await shared.opened(KEY, never, cache)
    had = await anext(body)
    shutil.rmtree(cache.folder / "item")
    assert had + await rest(body) == WHOLE
    assert await rest(slow) == WHOLE
    await body.aclose()
    await slow.aclose()
    assert cache.bytes == 0


async def test_who_leaves_while_it_is_renamed_leaves_what_is_counted(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    renaming, go = hold(monkeypatch, Path, "rename")
    body = await shared.opened(KEY, giving(Source()), cache)
    reading = asyncio.create_task(rest(body))
    await settled(renaming.is_set)
    reading.cancel()
    leaving = asyncio.create_task(body.aclose())
    await asyncio.sleep(0.01)
    go.set()
    await leaving
    path = await cache.find(KEY)
    assert path is not None
    assert path.read_bytes() == WHOLE


async def test_who_leaves_while_the_draft_is_opened_leaves_nothing_open(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    opening, go = hold(monkeypatch, draft.Draft, "open")
    waiting = asyncio.create_task(shared.opened(KEY, giving(Source()), cache))
    await settled(opening.is_set)
    waiting.cancel()
    await asyncio.sleep(0.01)
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await settled(lambda: not list(cache.folder.rglob(".draft-*")))
    assert not [link for link in open_files() if str(cache.folder) in link]


async def test_who_comes_when_its_beginning_is_gone_has_another(tmp_path: Path) -> None:
    cache = Cache(tmp_path, 5 * CHUNK)
    body = await shared.opened(KEY, giving(Source()), cache)
    for _ in range(25):
        await anext(body)
    other = Source()
    assert await shared.opened(KEY, giving(other), cache) is other
    assert len(await rest(body)) == 5 * CHUNK
    await body.aclose()


async def test_a_server_that_stops_cuts_those_behind_too(cache: Cache) -> None:
    body = await shared.opened(KEY, giving(Source()), cache)
    await anext(body)
    drain.begin()
    with pytest.raises(StreamCut, match="stopping"):
        await rest(body)
    await body.aclose()

"""Which cameras are open, and what becomes of those that no longer are; sources are scripts, all else is real."""

import asyncio
import sys
from collections.abc import AsyncIterator

import pytest

from mediastream import drain
from mediastream.errors import StreamCut
from mediastream.live import capture, registry
from mediastream.live.command import Command
from mediastream.live.condition import State
from mediastream.live.terms import Terms
from tests.live.test_camera import DEADLINE, ONE, STEADY, gone, numbers, until

TERMS = Terms("test-pattern", 5, "public")
OTHERS = [Terms("/other.mp4", 5, "public"), Terms("test-pattern", 6, "public"), Terms("test-pattern", 5, "private")]


@pytest.fixture(autouse=True)
async def steady(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    source(monkeypatch, STEADY)
    yield
    async with asyncio.timeout(DEADLINE):
        await registry.close_all()


def source(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    monkeypatch.setattr(capture, "command", lambda *_, **__: Command((sys.executable, "-c", code)))


async def pid_of(body: registry.MjpegBody) -> int:
    frame = await body._viewer.take()
    assert frame is not None
    return numbers(frame)[0]


async def test_one_camera_for_each_slug() -> None:
    assert registry.camera("yard", TERMS, "ffmpeg") is registry.camera("yard", TERMS, "ffmpeg")
    assert registry.camera("door", TERMS, "ffmpeg") is not registry.camera("yard", TERMS, "ffmpeg")
    assert registry.open_terms() == {"yard": TERMS, "door": TERMS}


@pytest.mark.parametrize("terms", OTHERS)
async def test_other_terms_end_the_camera_and_nothing_of_it_stays(terms: Terms) -> None:
    before = set(drain._ends)  # of what tests before have left, and may end at any moment
    body = await registry.open_mjpeg("yard", TERMS, "ffmpeg")
    pid = await pid_of(body)
    registry.camera("yard", terms, "ffmpeg")
    assert [chunk async for chunk in body] == []
    await until(lambda: gone(pid) and not registry._closing)
    assert registry.open_terms() == {"yard": terms}
    assert len(set(drain._ends) - before) == 1
    await body.aclose()


async def test_cameras_that_are_always_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "LINGER", 0.0)
    await registry.keep_on({"yard": TERMS}, "ffmpeg")
    assert registry.open_terms() == {}, "this process does not serve"
    registry.serve()
    await registry.keep_on({"yard": TERMS, "door": TERMS}, "ffmpeg")
    yard, door = (registry.camera(slug, TERMS, "ffmpeg") for slug in ("yard", "door"))
    await until(lambda: yard.latest.frame is not None and door.latest.frame is not None)
    await registry.keep_on({"yard": OTHERS[0]}, "ffmpeg")
    assert yard.closed
    changed = registry.camera("yard", OTHERS[0], "ffmpeg")
    await until(lambda: changed.latest.frame is not None and door.state is State.RESTING)
    by_a_viewer = registry.camera("yard", OTHERS[1], "ffmpeg")
    await until(lambda: by_a_viewer.latest.frame is not None)
    async with asyncio.timeout(DEADLINE):
        await registry.close_all()
    await registry.keep_on({"yard": TERMS}, "ffmpeg")
    assert registry.open_terms() == {}


async def test_a_server_that_stops_starts_no_camera() -> None:
    registry.serve()
    drain.begin()
    await registry.keep_on({"yard": TERMS}, "ffmpeg")
    assert registry.open_terms() == {}


async def test_closing_all_waits_for_those_that_are_ending_already() -> None:
    source_ignores_term = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + STEADY
    with pytest.MonkeyPatch.context() as patch:
        source(patch, source_ignores_term)
        body = await registry.open_mjpeg("yard", TERMS, "ffmpeg")
    pid = await pid_of(body)
    await registry.end(["yard"], unless={})
    assert not gone(pid)
    async with asyncio.timeout(DEADLINE):
        await registry.close_all()
    assert gone(pid)
    assert not registry._closing


async def test_a_camera_that_is_as_wanted_is_not_ended() -> None:
    opened = registry.camera("yard", TERMS, "ffmpeg")
    await registry.end(["yard", "never opened"], unless={"yard": TERMS})
    assert registry.camera("yard", TERMS, "ffmpeg") is opened
    assert not opened.closed
    await registry.end(["yard"], unless={"yard": OTHERS[0]})
    assert opened.closed
    assert registry.open_terms() == {}


async def test_a_camera_that_gives_nothing_at_all_cuts_its_viewers(monkeypatch: pytest.MonkeyPatch) -> None:
    """That is a fault of ours, as a picture stands in for each that fails to come."""
    source(monkeypatch, ONE)
    monkeypatch.setattr(registry, "STANDSTILL", 0.3)
    body = await registry.open_mjpeg("yard", TERMS, "ffmpeg")
    assert (await anext(body)).startswith(b"--frame")
    with pytest.raises(StreamCut, match=r"no picture for 0\.3 seconds"):
        async with asyncio.timeout(DEADLINE):
            await anext(body)
    await body.aclose()
    assert registry.camera("yard", TERMS, "ffmpeg").viewers == 0

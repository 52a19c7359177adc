"""One capture for all viewers, with scripts for sources: what they print is chosen, all else is real."""

import asyncio
import itertools
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from mediastream import drain
from mediastream.errors import SourceFailed
from mediastream.live import camera as cameras
from mediastream.live import sources
from mediastream.live.camera import Camera, Terms, Viewer
from mediastream.live.frames import Frame, JpegSplitter

DEADLINE = 20.0  # seconds; no test waits for a time, all wait for what must happen
LINGER = 0.05

# Pictures that carry a number, numbered on: the first bytes of each run tell its process.
HEAD = """
import os, sys, time
def say(number):
    sys.stdout.buffer.write(b"\\xff\\xd8\\xff\\xda\\0\\2" + b"%d %d" % (os.getpid(), number) + b"\\xff\\xd9")
    sys.stdout.buffer.flush()
"""
STEADY = HEAD + "n = 0\nwhile True: say(n); n += 1; time.sleep(0.02)"
ONE = HEAD + "say(0); time.sleep(60)"
TWO_AND_OUT = HEAD + "say(0); say(1)"
FAILING = "import sys; sys.exit('[rtsp @ 0x1] [error] rtsp://u:hush@cam/x: 401 Unauthorized')"

Make = Callable[..., Camera]


@pytest.fixture
async def make(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Make]:
    """Makes cameras whose source is a script, and closes them."""
    made: list[Camera] = []

    def make(code: str, linger: float = LINGER) -> Camera:
        monkeypatch.setattr(sources, "argv", lambda *_: [sys.executable, "-c", code])
        made.append(Camera("cam", Terms("rtsp://u:hush@cam/x", 5, "public"), "ffmpeg", linger))
        return made[-1]

    yield make
    async with asyncio.timeout(DEADLINE):
        for camera in made:
            await camera.close()


@pytest.fixture
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cameras, "BACKOFF", (0.02, 0.05))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not condition():
            await asyncio.sleep(0.01)


async def take(viewer: Viewer) -> Frame | None:
    async with asyncio.timeout(DEADLINE):
        return await viewer.take()


async def frame_of(viewer: Viewer) -> tuple[int, int]:
    """Process and number of the next picture."""
    frame = await take(viewer)
    assert frame is not None
    return numbers(frame)


def numbers(frame: Frame) -> tuple[int, int]:
    pid, number = frame.jpeg[6:-2].split()
    return int(pid), int(number)


def gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


async def test_two_viewers_share_one_child(make: Make) -> None:
    camera = make(STEADY)
    one, two = camera.join(), camera.join()
    assert camera.viewers == 2
    seen = {(await frame_of(viewer))[0] for viewer in (one, two, one, two)}
    assert len(seen) == 1


async def test_pictures_come_in_order_and_with_their_time(make: Make) -> None:
    camera = make(STEADY)
    viewer = camera.join()
    frames = [await take(viewer) for _ in range(4)]
    taken = [frame for frame in frames if frame is not None]
    assert len(taken) == 4
    for before, after in itertools.pairwise(taken):
        assert numbers(before)[1] < numbers(after)[1]
        assert before.captured < after.captured


async def test_a_slow_viewer_gets_the_latest_and_the_skipped_are_counted(make: Make) -> None:
    camera = make(STEADY)
    slow, quick = camera.join(), camera.join()
    _, first = await frame_of(slow)
    before = slow.skipped  # some may have come together even before the first was taken
    newest = 0
    while newest < first + 10:
        newest = (await frame_of(quick))[1]
    _, later = await frame_of(slow)
    assert later >= newest
    assert slow.skipped - before == later - first - 1
    assert quick.skipped < slow.skipped


async def test_a_late_viewer_gets_the_last_picture_at_once(make: Make) -> None:
    """A still scene may not send another for long."""
    camera = make(ONE)
    await take(camera.join())
    late = camera.join()
    assert (await frame_of(late))[1] == 0
    assert late.skipped == 0


async def test_the_source_rests_a_linger_after_the_last_viewer(make: Make) -> None:
    camera = make(STEADY)
    one, two = camera.join(), camera.join()
    pid, _ = await frame_of(one)
    camera.leave(one)
    await frame_of(two)
    assert not gone(pid)
    camera.leave(two)
    camera.leave(two)
    await until(lambda: gone(pid))
    assert camera.latest is None
    again = camera.join()
    assert (await frame_of(again))[0] != pid


async def test_a_reload_within_the_linger_keeps_the_source(make: Make) -> None:
    camera = make(STEADY, linger=60.0)
    viewer = camera.join()
    pid, _ = await frame_of(viewer)
    camera.leave(viewer)
    again = camera.join()
    assert [(await frame_of(again))[0] for _ in range(3)] == [pid] * 3


async def test_a_viewer_who_came_and_went_before_the_first_picture(make: Make) -> None:
    camera = make(STEADY, linger=0.0)
    for _ in range(5):
        camera.leave(camera.join())
        await asyncio.sleep(0.01)
    assert (await frame_of(camera.join()))[1] >= 0


async def test_the_first_frame_is_waited_for(make: Make) -> None:
    camera = make(STEADY)
    camera.join()
    frame = await camera.first_frame(DEADLINE)
    assert frame.jpeg.startswith(b"\xff\xd8")
    assert (await camera.first_frame(DEADLINE)).captured >= frame.captured


async def test_a_source_that_fails_says_why_and_no_password(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    camera = make(FAILING)
    camera.join()
    with pytest.raises(SourceFailed, match="401 Unauthorized") as caught:
        await camera.first_frame(DEADLINE)
    assert caught.value.status == 503
    assert caught.value.headers["Retry-After"]
    assert "hush" not in caught.value.detail + caplog.text


async def test_no_picture_in_time_is_a_failure_too(make: Make) -> None:
    camera = make("import time; time.sleep(60)")
    camera.join()
    with pytest.raises(SourceFailed, match="in time"):
        await camera.first_frame(0.1)


async def test_a_program_that_cannot_start_is_a_failure_with_its_reason(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(STEADY)
    monkeypatch.setattr(sources, "argv", lambda *_: ["/no/such/ffmpeg"])
    camera = Camera("cam", Terms("test-pattern", 5, "public"), "ffmpeg", LINGER)
    camera.join()
    with pytest.raises(SourceFailed, match="cannot be started: No such file"):
        await camera.first_frame(DEADLINE)
    await camera.close()


async def test_a_silent_source_is_started_again(
    make: Make, monkeypatch: pytest.MonkeyPatch, quick_retries: None
) -> None:
    monkeypatch.setattr(cameras, "SILENCE", 0.5)
    viewer = make(ONE).join()
    first, _ = await frame_of(viewer)
    second, _ = await frame_of(viewer)
    assert first != second
    assert gone(first)


async def test_too_large_a_picture_ends_the_run(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cameras, "JpegSplitter", lambda: JpegSplitter(max_frame=10))
    camera = make(STEADY)
    camera.join()
    with pytest.raises(SourceFailed, match="over 10 bytes"):
        await camera.first_frame(DEADLINE)


async def test_a_source_that_ends_is_opened_again_for_its_viewers(make: Make, quick_retries: None) -> None:
    viewer = make(TWO_AND_OUT).join()
    seen: set[int] = set()
    while len(seen) < 3:
        seen.add((await frame_of(viewer))[0])


async def test_a_picture_of_a_dead_source_is_not_shown_as_new(make: Make) -> None:
    camera = make(TWO_AND_OUT)
    camera.join()
    await until(lambda: camera.failure is not None)
    assert camera.latest is None
    with pytest.raises(SourceFailed):
        await camera.first_frame(DEADLINE)


async def test_the_end_ends_the_viewers(make: Make) -> None:
    camera = make(STEADY)
    one, two = camera.join(), camera.join()
    pid, _ = await frame_of(one)
    waiting = asyncio.create_task(take(two))
    await asyncio.sleep(0)
    camera.end()
    assert await take(one) is None
    while await take(two) is not None:
        pass
    await waiting
    await until(lambda: gone(pid))
    assert await take(camera.join()) is None
    with pytest.raises(SourceFailed, match="stopping"):
        await camera.first_frame(DEADLINE)


async def test_a_drain_ends_the_viewers(make: Make) -> None:
    camera = make(STEADY)
    viewer = camera.join()
    pid, _ = await frame_of(viewer)
    drain.begin()
    assert await take(viewer) is None
    assert camera.closed
    await until(lambda: gone(pid))


async def test_a_camera_opened_while_draining_is_ended(make: Make) -> None:
    drain.begin()
    camera = make(STEADY)
    assert camera.closed
    assert await take(camera.join()) is None


@pytest.mark.parametrize("before", ["nothing", "end", "drain", "rest"])
async def test_close_waits_until_the_child_is_reaped(make: Make, before: str) -> None:
    """Also when something else had ended the camera just before: shutdown drains first, then closes."""
    camera = make(STEADY, linger=0.0 if before == "rest" else LINGER)
    viewer = camera.join()
    pid, _ = await frame_of(viewer)
    if before == "end":
        camera.end()
    elif before == "drain":
        drain.begin()
    elif before == "rest":
        camera.leave(viewer)
        await until(lambda: camera._capturing is None)
    async with asyncio.timeout(DEADLINE):
        await camera.close()
        assert gone(pid)
        await camera.close()


@pytest.mark.parametrize("how", ["end", "close", "drain"])
async def test_the_end_releases_the_latch(make: Make, how: str) -> None:
    """An ended camera must not be kept, and called, by the process for ever: nobody need close it as well."""
    kept = len(drain._ends)
    camera = make(STEADY)
    assert len(drain._ends) == kept + 1
    if how == "end":
        camera.end()
    elif how == "close":
        await camera.close()
    else:
        drain.begin()
    assert len(drain._ends) == kept


async def test_close_kills_a_source_that_ignores_term(make: Make) -> None:
    camera = make(f"import signal; signal.signal({signal.SIGTERM:d}, signal.SIG_IGN)\n" + STEADY)
    pid, _ = await frame_of(camera.join())
    async with asyncio.timeout(DEADLINE):
        await camera.close()
    assert gone(pid)

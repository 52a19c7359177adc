"""One capture for all viewers, with scripts for sources: what they print is chosen, all else is real."""

import asyncio
import itertools
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from mediastream import drain
from mediastream.errors import SourceFailed
from mediastream.live import audience, capture, jpeg, producer, rhythm
from mediastream.live.camera import Camera
from mediastream.live.command import Command
from mediastream.live.condition import State
from mediastream.live.failures import Reason
from mediastream.live.frames import Frame, JpegSplitter
from mediastream.live.latest import Latest
from mediastream.live.producer import Producer
from mediastream.live.terms import Terms
from mediastream.live.viewer import Viewer
from tests.live.test_frames import make_jpegs

DEADLINE = 20.0  # seconds; no test waits for a time, all wait for what must happen
LINGER = 0.05

# Pictures that carry a number, numbered on: the first bytes of each run tell its process.
HEAD = """
import os, sys, time
sys.stderr.write("[info] Output #0\\n")  # FFmpeg's description of what it was given ends here
def say(number):
    sys.stdout.buffer.write(b"\\xff\\xd8\\xff\\xda\\0\\2" + b"%d %d" % (os.getpid(), number) + b"\\xff\\xd9")
    sys.stdout.buffer.flush()
"""
STEADY = HEAD + "n = 0\nwhile True: say(n); n += 1; time.sleep(0.02)"
ONE = HEAD + "say(0); time.sleep(60)"
TWO_AND_OUT = HEAD + "say(0); say(1)"


def pictures_and_out(shown: list[bytes]) -> str:
    """Real ones, and then the end."""
    return HEAD + f"for jpeg in {shown!r}: sys.stdout.buffer.write(jpeg); sys.stdout.buffer.flush(); time.sleep(0.02)"


FAILING = "import sys; sys.exit('[rtsp @ 0x1] [error] rtsp://u:hush@cam/x: 401 Unauthorized')"

Make = Callable[..., Camera]


@pytest.fixture
async def make(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Make]:
    """Makes cameras whose source is a script, and closes them."""
    made: list[Camera] = []

    def make(code: str, linger: float = LINGER, **more: object) -> Camera:
        monkeypatch.setattr(capture, "command", lambda *_, **__: Command((sys.executable, "-c", code)))
        made.append(Camera("cam", Terms("rtsp://u:hush@cam/x", 5, "public", **more), "ffmpeg", linger))
        return made[-1]

    yield make
    async with asyncio.timeout(DEADLINE):
        for camera in made:
            await camera.close()


@pytest.fixture
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(producer, "BACKOFF", (0.02, 0.05))


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


async def test_a_viewer_who_wants_fewer_gets_fewer_and_skips_none(make: Make) -> None:
    camera = make(STEADY)  # about fifty a second
    few, all_of_them = camera.join(fps=5), camera.join()
    seen: list[float] = []
    counted = 0
    began = time.monotonic()
    while time.monotonic() - began < 1.5:
        await take(all_of_them)
        counted += 1
        if few._frame is not None:
            await take(few)
            seen.append(time.monotonic())
    assert 2 <= len(seen) <= 9
    assert counted > 1.5 * len(seen)
    assert few.skipped == 0


REPEATING = HEAD + "n = 0\nwhile True: say(n // 10); n += 1; time.sleep(0.02)"


async def test_identical_pictures_are_left_out_but_for_one_a_second(make: Make) -> None:
    camera = make(REPEATING, drop_identical=True)
    viewer = camera.join()
    taken = [await take(viewer) for _ in range(6)]
    for before, after in itertools.pairwise(taken):
        assert before is not None
        assert after is not None
        assert before.jpeg != after.jpeg
    assert camera.condition.left_out > 20
    still = make(HEAD + "while True: say(0); time.sleep(0.02)", drop_identical=True)
    viewer = still.join()
    first, second = await take(viewer), await take(viewer)
    assert first is not None
    assert second is not None
    assert first.jpeg == second.jpeg
    assert 0.9 < second.captured - first.captured < DEADLINE, "with its new time"
    assert still.latest.frame is not None
    assert still.latest.frame.captured > first.captured


async def test_identical_pictures_are_sent_unless_it_is_asked_otherwise(make: Make) -> None:
    viewer = make(REPEATING).join()
    taken = [await take(viewer) for _ in range(6)]
    assert len({frame.jpeg for frame in taken if frame is not None}) < 6


async def test_copied_pictures_are_limited_too(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """FFmpeg leaves none out of what it copies."""
    described = "sys.stderr.write('Input #0\\nStream #0:0: Video: mjpeg, 96x64\\n[info] Output #0\\n')"
    camera = make(described.join(STEADY.split('sys.stderr.write("[info] Output #0\\n")')))
    viewer = camera.join()
    began = time.monotonic()
    await take(viewer)
    await until(lambda: (facts := camera.condition.facts) is not None and facts.copied)
    for _ in range(5):
        await take(viewer)
    assert time.monotonic() - began > 0.5, "five a second"


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
    assert camera.latest.frame is None
    again = camera.join()
    assert (await frame_of(again))[0] != pid


async def test_a_camera_that_is_kept_on_runs_without_viewers(make: Make) -> None:
    camera = make(STEADY)
    camera.keep(True)
    frame = await camera.latest.picture(DEADLINE)
    pid, _ = numbers(frame)
    viewer = camera.join()
    assert (await frame_of(viewer))[0] == pid, "the last picture is there at once"
    camera.leave(viewer)
    await asyncio.sleep(4 * LINGER)
    assert camera.state is State.LIVE
    camera.keep(False)
    await until(lambda: gone(pid))
    assert camera.state is State.RESTING
    camera.end()
    camera.keep(True)
    assert camera.state is State.RESTING


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
    frame = await camera.latest.picture(DEADLINE)
    assert frame.jpeg.startswith(b"\xff\xd8")
    assert (await camera.latest.picture(DEADLINE)).captured >= frame.captured


async def test_a_source_that_fails_says_why_and_no_password(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    camera = make(FAILING)
    camera.join()
    with pytest.raises(SourceFailed, match="401 Unauthorized") as caught:
        await camera.latest.picture(DEADLINE)
    assert caught.value.status == 503
    assert caught.value.headers["Retry-After"]
    assert "hush" not in caught.value.detail + caplog.text


async def test_no_picture_in_time_is_a_failure_too(make: Make) -> None:
    camera = make("import time; time.sleep(60)")
    camera.join()
    with pytest.raises(SourceFailed, match="in time"):
        await camera.latest.picture(0.1)


async def test_a_program_that_cannot_start_is_a_failure_with_its_reason(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(STEADY)
    monkeypatch.setattr(capture, "command", lambda *_, **__: Command(("/no/such/ffmpeg",)))
    camera = Camera("cam", Terms("test-pattern", 5, "public"), "ffmpeg", LINGER)
    camera.join()
    with pytest.raises(SourceFailed, match="cannot be started: No such file"):
        await camera.latest.picture(DEADLINE)
    await camera.close()


async def test_a_silent_source_is_started_again(
    make: Make, monkeypatch: pytest.MonkeyPatch, quick_retries: None
) -> None:
    monkeypatch.setattr(rhythm, "OPENING", 0.5)
    camera = make(ONE)
    viewer = camera.join()
    first, _ = await frame_of(viewer)
    states = set()
    async with asyncio.timeout(DEADLINE):
        while camera.latest.failure is None:
            states.add(camera.state)
            await asyncio.sleep(0.01)
    assert camera.latest.failure is not None
    assert camera.latest.failure.reason is Reason.TIMED_OUT
    assert State.LATE in states
    while (frame := await take(viewer)) is not None and (b"%d " % first) in frame.jpeg:
        pass
    assert frame is not None
    assert gone(first)


async def test_too_large_a_picture_ends_the_run(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "JpegSplitter", lambda: JpegSplitter(max_frame=10))
    camera = make(STEADY)
    camera.join()
    with pytest.raises(SourceFailed, match="over 10 bytes"):
        await camera.latest.picture(DEADLINE)


async def test_a_source_that_ends_is_opened_again_for_its_viewers(make: Make, quick_retries: None) -> None:
    viewer = make(TWO_AND_OUT).join()
    seen: set[int] = set()
    while len(seen) < 3:
        frame = await take(viewer)
        assert frame is not None
        seen.add(numbers(frame)[0])


async def test_viewers_stay_while_the_source_fails_and_see_that_it_does(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A frozen picture would look live, and a stream that broke off tells nothing."""
    monkeypatch.setattr(producer, "BACKOFF", (60.0, 60.0))
    monkeypatch.setattr(audience, "ANNOUNCE", 0.05)
    shown = make_jpegs()
    camera = make(pictures_and_out(shown))
    viewer = camera.join()
    real = await take(viewer)
    await until(lambda: camera.latest.failure is not None)
    assert camera.state is State.RECONNECTING
    last = camera.latest.frame
    assert real is not None
    assert last is not None
    seen = []
    while len(seen) < 3:
        frame = await take(viewer)
        assert frame is not None
        if frame.jpeg not in shown:
            seen.append(frame)
    assert {frame.captured for frame in seen} == {last.captured}, "the time is the last picture's"
    assert jpeg.size(seen[0].jpeg) == (96, 64), "and so is the size"
    late = await take(camera.join())
    assert late is not None
    assert late.captured == last.captured
    assert late.jpeg != last.jpeg


async def test_a_source_that_comes_back_is_live_again(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(producer, "BACKOFF", (0.5, 0.5))
    monkeypatch.setattr(audience, "ANNOUNCE", 0.05)
    camera = make(pictures_and_out(make_jpegs()))
    viewer = camera.join()
    states = []
    async with asyncio.timeout(DEADLINE):
        while len(states) < 5:
            await take(viewer)
            if not states or states[-1] is not camera.state:
                states.append(camera.state)
    assert states[0] is State.LIVE
    assert set(states) == {State.LIVE, State.RECONNECTING}
    assert camera.latest.last_failure is not None


async def test_nothing_is_drawn_for_nobody(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audience, "ANNOUNCE", 0.01)
    camera = make(pictures_and_out(make_jpegs()[:1]), linger=60.0)
    viewer = camera.join()
    await take(viewer)
    camera.leave(viewer)
    await until(lambda: camera.latest.failure is not None)
    monkeypatch.setattr(Latest, "stand_in", None)
    await asyncio.sleep(0.1)
    assert camera._capturing is not None
    assert not camera._capturing.done()


async def test_a_picture_that_stands_is_sent_again_now_and_then(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A still every minute: proxies end what sends nothing for as long."""
    monkeypatch.setattr(audience, "KEEPALIVE", 0.1)
    viewer = make(ONE).join()
    frames = [await take(viewer) for _ in range(3)]
    assert frames[0] is frames[1] is frames[2]


async def test_how_old_a_picture_may_be(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    camera = make(ONE)
    camera.join()
    first = await camera.latest.picture(DEADLINE)
    assert await camera.latest.picture(DEADLINE, max_age=60.0) is first
    with pytest.raises(SourceFailed, match="in time"):
        await camera.latest.picture(0.2, max_age=0.0)
    steady = make(STEADY)
    steady.join()
    asked = time.time()
    for _ in range(3):
        assert (await steady.latest.picture(DEADLINE, max_age=0.0)).captured >= asked


async def test_an_old_picture_is_not_given_while_the_source_fails(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(producer, "BACKOFF", (60.0, 60.0))
    camera = make(pictures_and_out(make_jpegs()[:1]))
    camera.join()
    last = await camera.latest.picture(DEADLINE)
    await until(lambda: camera.latest.failure is not None)
    assert await camera.latest.picture(DEADLINE) is last
    with pytest.raises(SourceFailed):
        await camera.latest.picture(DEADLINE, max_age=0.0)


async def test_conditions(make: Make, quick_retries: None) -> None:
    camera = make(STEADY)
    assert camera.condition.state is State.RESTING
    viewer = camera.join()
    assert camera.condition.state is State.STARTING
    await until(lambda: camera.condition.rate is not None)
    now = camera.condition
    assert (now.state, now.viewers, now.failure) == (State.LIVE, 1, None)
    assert now.captured is not None
    assert time.time() - now.captured < DEADLINE
    camera.leave(viewer)
    await until(lambda: camera.condition.state is State.RESTING)
    assert camera.condition.captured is None


async def test_a_failure_that_stays_is_logged_once(
    make: Make, caplog: pytest.LogCaptureFixture, quick_retries: None
) -> None:
    camera = make(FAILING)
    camera.join()
    seen = 0
    while seen < 4:
        camera.latest._news.clear()
        async with asyncio.timeout(DEADLINE):
            await camera.latest._news.wait()
        seen += 1
    assert len([line for line in caplog.messages if "401" in line]) == 1


async def test_a_camera_that_cannot_go_on_ends_its_viewers(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of ours: better a stream that ends than one that waits for ever."""

    async def broken(_: Producer) -> None:
        raise RuntimeError("ours")

    monkeypatch.setattr(Producer, "_run_source", broken)
    camera = make(STEADY)
    assert await take(camera.join()) is None
    assert camera.closed


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
        await camera.latest.picture(DEADLINE)


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

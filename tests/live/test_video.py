"""One encoder for all who want a camera's H.264: real FFmpegs, and scripts for sources and for encoders that fail."""

import asyncio
import io
import itertools
import os
import resource
import signal
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import av
import psutil
import pytest

from mediastream import process
from mediastream.errors import EncoderFailed
from mediastream.live import capture, encoder, video
from mediastream.live.camera import Camera
from mediastream.live.command import Command
from mediastream.live.encoder import Encoded
from mediastream.live.fmp4 import Init
from mediastream.live.frames import Frame
from mediastream.live.place import Place
from mediastream.live.terms import Terms
from mediastream.live.video import Feed
from tests.live.test_camera import gone, until
from tests.media import BUNDLED
from tests.media_library.conftest import child_pids

DEADLINE = 30.0
LINGER = 0.05

HEAD = """
import itertools, os, sys, time
sys.stderr.write("[info] Output #0\\n")
def show(jpegs, seconds=0.04):
    for jpeg in jpegs:
        sys.stdout.buffer.write(jpeg)
        sys.stdout.buffer.flush()
        time.sleep(seconds)
"""

Make = Callable[..., Feed]


def pictures(size: str, count: int = 5) -> list[bytes]:
    command = [
        *(BUNDLED, "-loglevel", "error", "-f", "lavfi", "-i", f"testsrc2=size={size}:rate=25", "-frames:v", str(count)),
        *("-f", "image2pipe", "-c:v", "mjpeg", "-q:v", "5", "-"),
    ]  # fmt: skip
    whole = subprocess.run(command, check=True, capture_output=True, timeout=60).stdout
    return [b"\xff\xd8" + jpeg for jpeg in whole.split(b"\xff\xd8")[1:]]


@pytest.fixture(scope="module")
def steady() -> str:
    return HEAD + f"show(itertools.cycle({pictures('96x64')!r}))"


@pytest.fixture
async def make(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Make]:
    """Makes feeds of cameras whose source is a script, and closes both; no child is left then."""
    before = sum(process.running().values())
    made: list[Feed] = []

    def make(code: str, executable: str = BUNDLED, linger: float = LINGER) -> Feed:
        monkeypatch.setattr(capture, "command", lambda *_, **__: Command((sys.executable, "-c", code)))
        camera = Camera(f"cam{len(made)}", Terms("rtsp://cam/x", 25, "public"), "ffmpeg", linger)
        made.append(Feed(camera, executable, linger))
        return made[-1]

    yield make
    async with asyncio.timeout(DEADLINE):
        for feed in made:
            await feed.camera.close()
            await feed.close()
    assert sum(process.running().values()) == before


def script(tmp_path: Path, code: str) -> str:
    """A program in FFmpeg's place."""
    path = tmp_path / "ffmpeg-stand-in"
    path.write_text(f"#!{sys.executable}\n{code}")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def encoders() -> list[int]:
    """Processes that make H.264."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            argv = entry.read_bytes()
        except OSError:
            continue
        if b"libx264" in argv and f"PPid:\t{os.getpid()}\n" in (entry.parent / "status").read_text():
            found.append(int(entry.parent.name))
    return found


async def take(place: Place) -> Init | Encoded | None:
    async with asyncio.timeout(DEADLINE):
        return await place.take()


async def init_of(place: Place) -> Init:
    found = await take(place)
    assert isinstance(found, Init)
    return found


async def some(place: Place, count: int) -> list[Encoded]:
    taken = [await take(place) for _ in range(count)]
    encoded = [found for found in taken if isinstance(found, Encoded)]
    assert len(encoded) == count
    return encoded


def decoded(init: Init, encoded: list[Encoded]) -> list[tuple[int, int]]:
    """The pictures' sizes."""
    stream = io.BytesIO(init.data + b"".join(each.fragment.data for each in encoded))
    with av.open(stream, format="mp4") as container:
        return [(frame.width, frame.height) for frame in container.decode(video=0)]


@pytest.mark.parametrize(("size", "becomes"), [("96x64", (96, 64)), ("97x65", (96, 64))])
async def test_what_comes_is_video_from_a_keyframe_on(
    make: Make, ffmpeg_executable: str, size: str, becomes: tuple[int, int]
) -> None:
    feed = make(HEAD + f"show(itertools.cycle({pictures(size)!r}))", ffmpeg_executable)
    place = feed.join()
    init = await init_of(place)
    assert init.codec.startswith("avc1.")
    assert (init.width, init.height) == becomes
    encoded = await some(place, 20)
    assert encoded[0].keyframe
    assert encoded[0].fragment.decode_time == 0
    for one, other in itertools.pairwise(encoded):
        assert one.fragment.decode_time + one.fragment.duration == other.fragment.decode_time
        assert one.shown < other.shown
    assert decoded(init, encoded) == [becomes] * 20


async def test_each_picture_has_the_time_of_its_capture(make: Make, steady: str) -> None:
    """And where it lies in the video is where it lay in the camera's stream."""
    began = time.time()
    feed = make(steady)
    place = feed.join()
    init = await init_of(place)
    encoded = await some(place, 25)
    for each in encoded:
        assert began <= each.captured <= each.shown <= time.time()
        at = each.fragment.decode_time / init.timescale
        assert abs(each.shown - encoded[0].shown - at) < 0.01
    assert time.time() - encoded[-1].captured < 5


async def test_all_share_one_encoder_and_one_capture(make: Make, steady: str) -> None:
    feed = make(steady)
    places = [feed.join() for _ in range(3)]
    for place in places:
        await init_of(place)
        await some(place, 3)
    assert len(encoders()) == 1
    assert feed.camera.viewers == 1
    assert feed.subscribers == 3


async def test_both_ffmpegs_can_write_no_large_file_and_run_for_as_long_as_they_like(make: Make, steady: str) -> None:
    before = child_pids()
    feed = make(steady)
    feed.join()
    await feed.ready(DEADLINE)
    ours = child_pids() - before
    assert len(ours) == 2
    for pid in ours:
        limits = psutil.Process(pid).rlimit
        assert limits(psutil.RLIMIT_FSIZE) == (64 * 1024**2, 64 * 1024**2)
        assert limits(psutil.RLIMIT_CORE) == (0, 0)
        assert limits(psutil.RLIMIT_CPU) == resource.getrlimit(resource.RLIMIT_CPU)
        assert limits(psutil.RLIMIT_AS) == (8 * 1024**3, 8 * 1024**3)


async def test_a_late_one_gets_the_whole_group_at_once(make: Make, steady: str) -> None:
    feed = make(steady)
    early = feed.join()
    await init_of(early)
    shown = await some(early, 30)
    late = feed.join()
    late.end()  # what it got by joining is all it has
    late.across = True
    init = await init_of(late)
    group = [await take(late) for _ in range(len(feed._gop))]
    encoded = [each for each in group if isinstance(each, Encoded)]
    assert encoded[0].keyframe
    assert encoded[-1].fragment.decode_time >= shown[-1].fragment.decode_time
    assert len(decoded(init, encoded)) == len(encoded)


async def test_keyframes_come_every_two_seconds(make: Make, steady: str) -> None:
    feed = make(steady)
    place = feed.join()
    init = await init_of(place)
    keys: list[float] = []
    while len(keys) < 3:
        [each] = await some(place, 1)
        if each.keyframe:
            keys.append(each.fragment.decode_time / init.timescale)
    for one, other in itertools.pairwise(keys):
        assert other - one < encoder.GOP + 0.5


async def test_a_source_that_stands_still_goes_on(make: Make) -> None:
    """Its picture does not wait in the encoder for one that may never come."""
    feed = make(HEAD + f"show({pictures('96x64', 1)!r}); time.sleep(60)")
    place = feed.join()
    init = await init_of(place)
    encoded = await some(place, 15)
    assert len({each.captured for each in encoded}) == 1
    assert all(each.fragment.duration < 2 * video.REPEAT * init.timescale for each in encoded[3:])
    assert len(decoded(init, encoded)) == 15


async def test_another_size_is_another_run(make: Make) -> None:
    code = f"show(itertools.islice(itertools.cycle({pictures('96x64')!r}), 30)); "
    feed = make(HEAD + code + f"show(itertools.cycle({pictures('128x80')!r}))")
    recorder, viewer = feed.join(across=True), feed.join()
    assert (await init_of(recorder)).width == 96
    assert (await init_of(viewer)).width == 96
    while isinstance(found := await take(recorder), Encoded):
        pass
    assert isinstance(found, Init)
    assert found.width == 128
    encoded = await some(recorder, 5)
    assert encoded[0].keyframe
    assert decoded(found, encoded) == [(128, 80)] * 5
    while await take(viewer) is not None:
        pass
    assert viewer.cut
    assert feed.failure is None


async def test_broken_pictures_between_do_no_harm(make: Make) -> None:
    whole = pictures("96x64")
    broken = [whole[0][:-200] + b"\xff\xd9", b"\xff\xd8\xff\xda\0\2zz\xff\xd9"]
    feed = make(HEAD + f"show(itertools.cycle({[*whole, *broken]!r}))")
    place = feed.join()
    init = await init_of(place)
    assert len(decoded(init, await some(place, 40))) == 40


async def test_an_encoder_that_is_killed_is_started_anew(
    make: Make, steady: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video, "BACKOFF", (0.02, 0.05))
    feed = make(steady)
    recorder, viewer = feed.join(across=True), feed.join()
    await init_of(recorder)
    await some(recorder, 3)
    [pid] = encoders()
    os.kill(pid, signal.SIGKILL)
    while isinstance(found := await take(recorder), Encoded):
        pass
    assert isinstance(found, Init)
    assert (await some(recorder, 1))[0].keyframe
    while await take(viewer) is not None:
        pass
    assert viewer.cut
    assert isinstance(await feed.ready(DEADLINE), Init)


async def test_one_that_comes_between_two_runs_waits_for_the_next(
    make: Make, steady: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video, "BACKOFF", (0.5, 0.5))
    feed = make(steady)
    first = feed.join()
    await init_of(first)
    await some(first, 1)
    os.kill(encoders()[0], signal.SIGKILL)
    await until(lambda: feed.init is None)
    next_one = feed.join()
    assert await feed.ready(DEADLINE) == await init_of(next_one)
    assert (await some(next_one, 1))[0].keyframe


async def test_an_ffmpeg_without_the_encoder_is_told_of_and_tried_again(
    make: Make, steady: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video, "BACKOFF", (0.02, 0.05))
    tries = tmp_path / "tries"
    tries.mkdir()
    code = f"import os, sys; os.mknod(f'{tries}/{{os.getpid()}}'); sys.exit(\"[fatal] Unknown encoder 'libx264'\")"
    feed = make(steady, script(tmp_path, code))
    place = feed.join()
    with pytest.raises(EncoderFailed, match=r"cannot be made now: .*Unknown encoder 'libx264'"):
        await feed.ready(DEADLINE)
    await until(lambda: len(os.listdir(tries)) > 2)
    feed.leave(place)
    await until(lambda: feed._running is None)
    tried = os.listdir(tries)
    await asyncio.sleep(0.2)
    assert os.listdir(tries) == tried


async def test_an_ffmpeg_that_is_not_there(make: Make, steady: str) -> None:
    feed = make(steady, "/nonexistent/ffmpeg")
    feed.join()
    with pytest.raises(EncoderFailed, match="cannot be started"):
        await feed.ready(DEADLINE)


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("import time; time.sleep(60)", "nothing in time"),
        ("import sys\nwhile sys.stdin.buffer.read(65536): pass", "nothing in time"),
        ("import sys, time\nsys.stdout.write('HTTP/1.1 200 OK'); sys.stdout.flush(); time.sleep(60)", "FFmpeg gave"),
        ("pass", "FFmpeg has ended"),
    ],
)
async def test_an_encoder_that_gives_no_video(
    make: Make, steady: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, why: str
) -> None:
    monkeypatch.setattr(encoder, "FIRST", 0.5)
    feed = make(steady, script(tmp_path, code))
    feed.join()
    with pytest.raises(EncoderFailed, match=why):
        await feed.ready(DEADLINE)


async def test_an_encoder_that_stops_in_its_midst_is_ended(
    make: Make, steady: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoder, "STALLED", 0.5)
    feed = make(steady)
    recorder = feed.join(across=True)
    await init_of(recorder)
    await some(recorder, 3)
    [pid] = encoders()
    os.kill(pid, signal.SIGSTOP)
    while isinstance(found := await take(recorder), Encoded):
        pass
    assert isinstance(found, Init)
    assert gone(pid)


async def test_the_encoder_ends_a_linger_after_its_last_subscriber(make: Make, steady: str) -> None:
    feed = make(steady)
    one, two = feed.join(), feed.join()
    await init_of(one)
    [pid] = encoders()
    feed.leave(one)
    await asyncio.sleep(4 * LINGER)
    assert encoders() == [pid]
    feed.leave(two)
    await until(lambda: gone(pid))
    await until(lambda: feed.camera.viewers == 0)
    again = feed.join()
    await init_of(again)
    assert (await some(again, 1))[0].fragment.decode_time == 0


async def test_one_who_comes_within_the_linger_finds_the_encoder_running(make: Make, steady: str) -> None:
    feed = make(steady, linger=30.0)
    one = feed.join()
    await init_of(one)
    running = encoders()
    feed.leave(one)
    two = feed.join()
    await init_of(two)
    await some(two, 3)
    assert encoders() == running


async def test_the_end_of_the_camera_is_the_end(make: Make, steady: str) -> None:
    feed = make(steady)
    place, recorder = feed.join(), feed.join(across=True)
    await init_of(place)
    [pid] = encoders()
    feed.camera.end()
    for each in (place, recorder):
        while await take(each) is not None:
            pass
        assert not each.cut
    await until(lambda: gone(pid))
    assert await take(feed.join()) is None
    with pytest.raises(EncoderFailed, match="has ended"):
        await feed.ready(DEADLINE)


async def test_a_group_that_is_too_large_is_not_kept(make: Make, steady: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video, "MAX_GOP_PICTURES", 10)
    feed = make(steady)
    early = feed.join()
    await init_of(early)
    await some(early, 20)
    late = feed.join()
    await init_of(late)
    [first] = await some(late, 1)
    assert first.keyframe
    assert first.fragment.decode_time > 0


async def test_an_encoder_that_is_behind_is_given_fewer(tmp_path: Path) -> None:
    """Late pictures are worth nothing; but one is tried now and then."""
    executable = script(tmp_path, "import time; time.sleep(60)")
    [jpeg] = pictures("96x64", 1)
    async with encoder.opened(executable, (96, 64), 25) as opened:
        taken = sum(opened.offer(Frame(jpeg, time.time())) for _ in range(50))
        assert taken == encoder.IN_FLIGHT
        assert opened.dropped == 50 - taken
        await asyncio.sleep(encoder.NUDGE + 0.1)
        assert opened.offer(Frame(jpeg, time.time()))


@pytest.mark.parametrize(
    ("size", "fps", "wanted"),
    [
        ((1280, 720), 25, ["-bufsize", "4608000"]),
        ((16, 16), 1, ["-maxrate", "100000"]),
        ((641, 361), 25, ["crop=640:360:0:0[s0]"]),
        ((1280, 720), 25, ["-fps_mode", "passthrough"]),
        ((1280, 720), 25, ["-protocol_whitelist", "pipe"]),
        ((1280, 720), 25, ["-format_whitelist", "matroska"]),
        ((1280, 720), 25, ["-codec_whitelist", "mjpeg"]),
    ],
)
def test_the_command_line(size: tuple[int, int], fps: int, wanted: list[str]) -> None:
    made = encoder.argv("ffmpeg", size, fps)
    assert made[0] == "ffmpeg"
    assert made[-1] not in wanted
    text = " ".join(made)
    assert " ".join(wanted) in text
    assert ("crop" in text) == any(length % 2 for length in size)
    assert "-vsync" not in made

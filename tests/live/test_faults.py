"""What a source may do to a camera, over real sockets. Each fault is bounded in memory, told with its reason, and
over once the source is well: the viewer who came before it has pictures again."""

import asyncio
import os
import random
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from mediastream.live import audience, http_capture, jpeg, producer, rhythm
from mediastream.live.camera import Camera
from mediastream.live.failures import Reason
from mediastream.live.terms import Terms
from mediastream.live.viewer import Viewer
from tests.live.httpsource import Exchange, source
from tests.live.rtsp import RtspServer
from tests.live.test_frames import make_jpegs
from tests.media import BUNDLED, Clips, run_ffmpeg

DEADLINE = 30.0  # seconds
GROWTH = 64 * 1024 * 1024  # bytes: a few pictures of the largest size there may be, and what malloc keeps
JPEGS = make_jpegs()
HEAD = "multipart/x-mixed-replace; boundary=x"
NOISE = random.Random(1).randbytes(256 * 1024)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(producer, "BACKOFF", (0.05, 0.1))
    monkeypatch.setattr(audience, "ANNOUNCE", 0.1)
    monkeypatch.setattr(http_capture, "PATIENCE", 1.0)
    monkeypatch.setattr(rhythm, "STALL", 1.0)


def child_pids() -> set[int]:
    return {child.pid for child in psutil.Process().children()}


@asynccontextmanager
async def watched(text: str, executable: str = BUNDLED) -> AsyncIterator[tuple[Camera, Viewer]]:
    """Of the camera nothing is left at the end: no task, child or descriptor."""
    tasks, descriptors, children = asyncio.all_tasks(), len(os.listdir("/proc/self/fd")), child_pids()
    camera = Camera("cam", Terms(text, 25, "public"), executable, linger=0.05)
    try:
        async with asyncio.timeout(DEADLINE):
            yield camera, camera.join()
    finally:
        await camera.close()
    assert child_pids() == children
    async with asyncio.timeout(DEADLINE):
        while asyncio.all_tasks() - tasks or len(os.listdir("/proc/self/fd")) > descriptors:
            await asyncio.sleep(0.01)


async def well(viewer: Viewer, pictures: list[bytes], count: int = 3) -> None:
    """Wait for that many of those pictures: what stands in for them is another."""
    while count:
        frame = await viewer.take()
        assert frame is not None
        count -= frame.jpeg in pictures


async def failed(camera: Camera, reason: Reason) -> None:
    while camera.latest.last_failure is None:
        await asyncio.sleep(0.01)
    assert camera.latest.last_failure.reason is reason, camera.latest.last_failure


async def hangs(it: Exchange) -> None:
    await asyncio.sleep(DEADLINE)


async def never_ends_its_head(it: Exchange) -> None:
    await it.send(b"HTTP/1.1 200 OK\r\n")
    while True:
        await it.send(b"X-More: x\r\n")
        await asyncio.sleep(0.01)


async def dies_in_a_picture(it: Exchange) -> None:
    await it.head(HEAD)
    await it.part(JPEGS[0])
    await it.send(JPEGS[1][: len(JPEGS[1]) // 2])
    it.writer.close()


async def freezes(it: Exchange) -> None:
    await it.head(HEAD)
    for number in range(8):
        await it.part(JPEGS[number % len(JPEGS)])
        await asyncio.sleep(0.02)
    await asyncio.sleep(DEADLINE)


async def sends_garbage(it: Exchange) -> None:
    await it.head(HEAD)
    while True:
        await it.send(NOISE.replace(b"\xff\xd8", b"\xff\x00"))


async def sends_halves(it: Exchange) -> None:
    await it.head(HEAD)
    while True:
        await it.part(JPEGS[0][: len(JPEGS[0]) // 2])
        await asyncio.sleep(0.001)


async def sends_200_megabytes(it: Exchange) -> None:
    await it.head(HEAD)
    await it.send(b"--x\r\nContent-Type: image/jpeg\r\nContent-Length: 209715200\r\n\r\n\xff\xd8\xff\xda\0\2")
    for _ in range(200):
        await it.send(b"x" * 1024 * 1024)


async def sends_a_part_head_without_end(it: Exchange) -> None:
    await it.head(HEAD)
    await it.send(b"--x\r\n")
    while True:
        await it.send(b"X-More: " + b"x" * 65536 + b"\r\n")


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (hangs, Reason.TIMED_OUT),
        (never_ends_its_head, Reason.TIMED_OUT),
        (dies_in_a_picture, Reason.ENDED),
        (freezes, Reason.TIMED_OUT),
        (sends_garbage, Reason.TIMED_OUT),
        (sends_halves, Reason.TIMED_OUT),
        (sends_200_megabytes, Reason.NO_VIDEO),
        (sends_a_part_head_without_end, Reason.TIMED_OUT),
    ],
)
async def test_a_fault_over_http(
    fault: Callable[[Exchange], Awaitable[None]], reason: Reason, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rhythm, "OPENING", 1.5)
    before = psutil.Process().memory_info().rss
    async with source(fault) as served, watched(served.url, "no-ffmpeg") as (camera, viewer):
        await failed(camera, reason)
        assert psutil.Process().memory_info().rss - before < GROWTH
        served.script = lambda it: it.stream(JPEGS)
        await well(viewer, JPEGS)
        assert camera.latest.failure is None
        served.drop()  # what still hangs there is no task of the camera's


async def test_half_pictures_between_whole_ones_are_left_out() -> None:
    async def mixed(it: Exchange) -> None:
        await it.head(HEAD)
        while True:
            await it.part(JPEGS[0][:-20])
            await it.part(JPEGS[1])
            await asyncio.sleep(0.02)

    async with source(mixed) as served, watched(served.url, "no-ffmpeg") as (camera, viewer):
        await well(viewer, [JPEGS[1]])
        assert camera.latest.last_failure is None


async def test_pictures_may_change_their_size(tmp_path: Path) -> None:
    run_ffmpeg(["-f", "lavfi", "-i", "testsrc2=size=192x128", "-frames:v", "1", "-f", "mjpeg", str(tmp_path / "l.jpg")])
    large = (tmp_path / "l.jpg").read_bytes()
    async with (
        source(lambda it: it.stream([JPEGS[0], large])) as served,
        watched(served.url, "no-ffmpeg") as (camera, viewer),
    ):
        await well(viewer, [JPEGS[0]])
        await well(viewer, [large])
        assert camera.latest.last_failure is None


async def test_h264_may_change_its_size(ffmpeg_executable: str, tmp_path: Path) -> None:
    """Programs take a stream's first size for all of it, so FFmpeg keeps to that, and goes on."""
    made = tmp_path / "both.ts"
    with made.open("wb") as both:
        for second, size in enumerate(("160x120", "320x240")):
            part = tmp_path / f"{size}.ts"
            made_by = ["-f", "lavfi", "-i", f"testsrc2=size={size}:rate=25", "-t", "1", "-c:v", "libx264"]
            made_by += ["-bf", "0", "-pix_fmt", "yuv420p", "-output_ts_offset", str(second)]
            run_ffmpeg([*made_by, str(part)])
            both.write(part.read_bytes())
    async with watched(str(made), ffmpeg_executable) as (camera, viewer):
        for _ in range(45):  # more than the first second has
            frame = await viewer.take()
            assert frame is not None
            assert jpeg.size(frame.jpeg) == (160, 120)
        assert camera.latest.last_failure is None


class Hostile(RtspServer):
    """`spoilt`: packets of noise take the place of those with video."""

    spoilt = False

    def datagram_received(self, data: bytes, addr: object) -> None:
        super().datagram_received(data[:12] + NOISE[: len(data) - 12] if self.spoilt else data, addr)


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[Hostile]:
    served = Hostile()
    await served.start(folder)
    try:
        yield served
    finally:
        await served.stop()


async def new(viewer: Viewer, camera: Camera, since: float) -> None:
    """Wait for a picture of the source's, captured after that."""
    while True:
        frame = await viewer.take()
        assert frame is not None
        if frame is camera.latest.frame and frame.captured > since:
            return


@pytest.mark.parametrize("fault", ["falls silent", "breaks off", "sends noise"])
async def test_a_fault_over_rtsp(ffmpeg_executable: str, tmp_path: Path, fault: str) -> None:
    before = psutil.Process().memory_info().rss
    async with (
        serving(tmp_path) as served,
        asyncio.timeout(DEADLINE),
        _watched_beside(served, ffmpeg_executable) as (camera, viewer),
    ):
        await new(viewer, camera, 0.0)
        if fault == "breaks off":
            served.drop()
            await failed(camera, Reason.ENDED)
        elif fault == "falls silent":
            served.silent = True
            await failed(camera, Reason.TIMED_OUT)
            served.silent = False
        else:
            served.spoilt = True
            await asyncio.sleep(1.0)
            served.spoilt = False
        assert psutil.Process().memory_info().rss - before < GROWTH
        spoilt = camera.latest.frame.captured if camera.latest.frame is not None else 0.0
        await new(viewer, camera, spoilt)


@asynccontextmanager
async def _watched_beside(served: RtspServer, executable: str) -> AsyncIterator[tuple[Camera, Viewer]]:
    """The server has an FFmpeg of its own."""
    children = child_pids()
    camera = Camera("cam", Terms(served.url(), 25, "public"), executable, linger=0.05)
    try:
        yield camera, camera.join()
    finally:
        await camera.close()
    assert served._ffmpeg.pid in children
    assert child_pids() == children


async def test_no_shell_reads_the_name_of_a_file(ffmpeg_executable: str, clips: Clips, tmp_path: Path) -> None:
    made = tmp_path / "made-by-a-shell"
    odd = tmp_path / f"a'b\"; touch {made.name} & $(touch {made.name}) `touch {made.name}` | x > y.mp4"
    shutil.copy(clips["silent.mp4"], odd)
    async with watched(str(odd), ffmpeg_executable) as (_, viewer):
        assert await viewer.take() is not None
    assert sorted(path.name for path in tmp_path.iterdir()) == [odd.name]
    assert not Path(made.name).exists()

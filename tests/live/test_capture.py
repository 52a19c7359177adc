"""Sources of each kind, opened for real: what comes, whether it is copied, and why it fails. By both FFmpegs."""

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from mediastream.live import jpeg
from mediastream.live.capture import Capture, CaptureFailed, OtherWay, opened
from mediastream.live.facts import Facts, facts_of
from mediastream.live.failures import Failure, Reason, said
from mediastream.live.frames import Frame
from mediastream.live.sources import DEVICE
from mediastream.live.terms import Terms
from tests.live.rtsp import RtspServer
from tests.live.test_frames import split
from tests.live.test_jpeg import without_tables
from tests.media import BUNDLED, H264, VIDEO, Clips, run_ffmpeg
from tests.system.harness import free_port

DEADLINE = 30.0  # seconds
HERE = Path(__file__).resolve().parent


def terms(source: str, **more: object) -> Terms:
    return Terms(**{"source": source, "fps": 25, "visibility": "public"} | more)  # type: ignore[arg-type]


async def take(wanted: Terms, executable: str, count: int) -> tuple[list[Frame], Facts, list[bool]]:
    """That many pictures, what came, and the ways in which it was opened: copied or not."""
    source = wanted.parsed()
    ways = [source.kind is DEVICE]
    while True:
        try:
            async with asyncio.timeout(DEADLINE), opened(executable, source, wanted, copy=ways[-1]) as capture:
                frames: list[Frame] = []
                while len(frames) < count:
                    frames += await capture.read()
                assert capture.facts is not None
                return frames, capture.facts, ways
        except OtherWay as way:
            ways.append(way.copy)


async def failure_of(wanted: Terms, executable: str) -> Failure:
    with pytest.raises(CaptureFailed) as caught:
        await take(wanted, executable, 1000)
    return caught.value.failure


@asynccontextmanager
async def rtsp(folder: Path, server: RtspServer, codec: str = "h264") -> AsyncIterator[RtspServer]:
    await server.start(folder, codec)
    try:
        yield server
    finally:
        await server.stop()


async def test_the_test_pattern(ffmpeg_executable: str) -> None:
    frames, facts, ways = await take(terms("test-pattern", fps=10), ffmpeg_executable, 3)
    assert jpeg.size(frames[0].jpeg) == (960, 540) == facts.size
    assert ways == [False]


@pytest.mark.parametrize("auth", [None, "Basic", "Digest"])
async def test_rtsp_in_h264(ffmpeg_executable: str, tmp_path: Path, auth: str | None) -> None:
    name, password = "us er", "p@s/s:'w%41"
    login = {"username": name, "password": password} if auth else {}
    async with rtsp(tmp_path, RtspServer(auth, name, password)) as server:
        frames, facts, ways = await take(terms(server.url(), **login), ffmpeg_executable, 5)
        assert jpeg.size(frames[0].jpeg) == (320, 240)
        assert facts == Facts("h264", (320, 240), 25.0, copied=False)
        assert ways == [False]
        assert len([line for line in server.asked if line.startswith("PLAY")]) == 1


async def test_rtsp_in_mjpeg_is_copied(ffmpeg_executable: str, tmp_path: Path) -> None:
    """The first run sees what it is, before it has given a picture; the second copies."""
    async with rtsp(tmp_path, RtspServer(), "mjpeg") as server:
        frames, facts, ways = await take(terms(server.url(), quality=31, size="16x16"), ffmpeg_executable, 5)
        assert jpeg.size(frames[0].jpeg) == (320, 240)
        assert (facts.codec, facts.copied) == ("mjpeg", True)
        assert ways == [False, True]


async def test_the_address_and_the_password_are_in_nobodys_arguments(ffmpeg_executable: str, tmp_path: Path) -> None:
    async with rtsp(tmp_path, RtspServer("Digest")) as server:
        wanted = terms(server.url(), username="u", password="p")
        async with opened(ffmpeg_executable, wanted.parsed(), wanted, copy=False) as capture:
            async with asyncio.timeout(DEADLINE):
                while not await capture.read():
                    pass
            pid = capture._child.pid  # type: ignore[attr-defined]
            for file in (Path(f"/proc/{pid}/cmdline"), Path(f"/proc/{pid}/environ")):
                assert str(server.port) not in file.read_text()


@pytest.mark.parametrize(("name", "codec"), [("clip.avi", "mjpeg"), ("clip.mkv", "mjpeg"), ("clip.mov", "mjpeg")])
async def test_a_file_of_mjpeg_is_copied(ffmpeg_executable: str, tmp_path: Path, name: str, codec: str) -> None:
    path, pictures = tmp_path / name, tmp_path / "clip.mjpeg"
    run_ffmpeg([*VIDEO, "-t", "1", "-c:v", "mjpeg", "-q:v", "9", str(pictures)])
    run_ffmpeg(["-f", "mjpeg", "-i", str(pictures), "-c", "copy", str(path)])
    frames, facts, ways = await take(terms(str(path)), ffmpeg_executable, 10)
    assert [frame.jpeg for frame in frames[:10]] == split(pictures.read_bytes())[:10]
    assert (facts.codec, facts.size, facts.copied, ways) == (codec, (320, 180), True, [False, True])


async def test_a_file_of_h264(ffmpeg_executable: str, clips: Clips) -> None:
    _, facts, ways = await take(terms(str(clips["silent.mp4"])), ffmpeg_executable, 3)
    assert (facts, ways) == (Facts("h264", (320, 180), 25.0, copied=False), [False])


@asynccontextmanager
async def rtmp() -> AsyncIterator[str]:
    """FFmpeg as an RTMP server for one player."""
    address = f"rtmp://127.0.0.1:{free_port()}/live/key"
    command = [BUNDLED, "-loglevel", "error", "-nostdin", "-re", *VIDEO, *H264, "-f", "flv", "-listen", "1", address]
    child = await asyncio.create_subprocess_exec(*command, stderr=subprocess.DEVNULL)
    try:
        yield address
    finally:
        child.kill()
        await child.wait()


async def test_rtmp(ffmpeg_executable: str) -> None:
    async with rtmp() as address:
        for _ in range(100):
            try:
                frames, facts, ways = await take(terms(address), ffmpeg_executable, 5)
            except CaptureFailed:
                await asyncio.sleep(0.1)  # it does not listen yet
            else:
                break
        assert (facts.codec, facts.size, ways) == ("h264", (320, 180), [False])
        assert jpeg.size(frames[0].jpeg) == (320, 180)


async def test_mpegts_by_udp(ffmpeg_executable: str) -> None:
    address = f"udp://127.0.0.1:{free_port()}"
    command = [BUNDLED, "-loglevel", "error", "-nostdin", "-re", *VIDEO, *H264, "-f", "mpegts", address]
    child = await asyncio.create_subprocess_exec(*command, stderr=subprocess.DEVNULL)
    try:
        _, facts, _ = await take(terms(address), ffmpeg_executable, 3)
    finally:
        child.kill()
        await child.wait()
    assert facts.codec == "h264"


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    built = tmp_path_factory.mktemp("shim") / "fakevideo.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", built, HERE / "fakevideo.c", "-ldl"], check=True)
    return built


@pytest.fixture
def device(shim: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """A device that gives MJPEG without Huffman tables, as many do; its picture."""
    picture = tmp_path / "frame.jpg"
    run_ffmpeg([*VIDEO[:3], "testsrc2=size=320x240", "-frames:v", "1", "-huffman", "default", str(picture)])
    picture.write_bytes(without_tables(picture.read_bytes()))
    monkeypatch.setenv("FAKE_VIDEO_FRAME", str(picture))
    monkeypatch.setenv("FAKE_VIDEO_FORMAT", "MJPG")
    monkeypatch.setenv("LD_PRELOAD", str(shim))
    return picture.read_bytes()


async def test_a_device_that_gives_mjpeg_is_passed_through(ffmpeg_executable: str, device: bytes) -> None:
    frames, facts, ways = await take(terms("/dev/video0"), ffmpeg_executable, 10)
    assert {frame.jpeg for frame in frames} == {jpeg.with_tables(device)}
    assert (facts, ways) == (Facts("mjpeg", (320, 240), 25.0, copied=True), [True])


async def test_a_device_that_gives_raw_pictures(
    ffmpeg_executable: str, device: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = tmp_path / "frame.yuv"
    raw.write_bytes(b"\x80" * (320 * 240 * 2))
    monkeypatch.setenv("FAKE_VIDEO_FRAME", str(raw))
    monkeypatch.setenv("FAKE_VIDEO_FORMAT", "YUYV")
    frames, facts, ways = await take(terms("/dev/video0"), ffmpeg_executable, 3)
    assert jpeg.size(frames[0].jpeg) == (320, 240)
    assert (facts.codec, facts.copied, ways) == ("rawvideo", False, [True, False])


async def test_a_device_that_is_not_there(ffmpeg_executable: str) -> None:
    failure = await failure_of(terms("/dev/video99"), ffmpeg_executable)
    assert failure.reason is Reason.REFUSED
    assert "No such file or directory" in failure.words


@pytest.mark.parametrize("scheme", ["rtsp", "rtmp", "rtsps", "rtmps"])
async def test_nobody_there(ffmpeg_executable: str, scheme: str) -> None:
    failure = await failure_of(
        terms(f"{scheme}://127.0.0.1:1/a/hush", username="u", password="hush"), ffmpeg_executable
    )
    assert failure.reason is Reason.REFUSED
    assert "refused" in failure.words
    assert failure.lines
    assert "hush" not in str(failure) + "".join(failure.lines)
    assert "pipe:0" not in "".join(failure.lines)


async def test_no_such_host(ffmpeg_executable: str) -> None:
    failure = await failure_of(terms("rtsp://nobody.invalid/a"), ffmpeg_executable)
    assert (failure.reason, "resolve" in failure.words) == (Reason.REFUSED, True)


@pytest.mark.parametrize("auth", ["Basic", "Digest"])
async def test_a_wrong_password(ffmpeg_executable: str, tmp_path: Path, auth: str) -> None:
    async with rtsp(tmp_path, RtspServer(auth)) as server:
        for login in ({}, {"username": "u", "password": "hush"}):
            failure = await failure_of(terms(server.url(), **login), ffmpeg_executable)
            assert failure.reason is Reason.CREDENTIALS, failure
            assert "401" in "".join(failure.lines)
            assert "hush" not in "".join(failure.lines)


async def test_a_server_that_ends_the_stream(ffmpeg_executable: str, tmp_path: Path) -> None:
    async with rtsp(tmp_path, RtspServer()) as server:
        wanted = terms(server.url())
        async with opened(ffmpeg_executable, wanted.parsed(), wanted, copy=False) as capture:
            with pytest.raises(CaptureFailed) as caught:
                await read_on(capture, server)
    assert caught.value.failure.reason is Reason.ENDED


async def read_on(capture: Capture, server: RtspServer) -> None:
    async with asyncio.timeout(DEADLINE):
        while True:
            if await capture.read():
                server.drop()


@pytest.mark.parametrize("content", [b"", b"these are notes, not a film\n" * 1000])
async def test_no_video_in_it(ffmpeg_executable: str, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes.mp4"
    path.write_bytes(content)
    failure = await failure_of(terms(str(path)), ffmpeg_executable)
    assert failure.reason is Reason.NO_VIDEO
    assert str(tmp_path) not in str(failure) + "".join(failure.lines)


async def test_sound_alone_is_no_video(ffmpeg_executable: str, clips: Clips) -> None:
    assert (await failure_of(terms(str(clips["sound.mp3"])), ffmpeg_executable)).reason is Reason.NO_VIDEO


async def test_a_file_that_is_gone(ffmpeg_executable: str) -> None:
    failure = await failure_of(terms("/nonexistent/hush.mp4"), ffmpeg_executable)
    assert failure.reason is Reason.REFUSED
    assert failure.words.removeprefix("the file: ") == "No such file or directory"


async def test_no_ffmpeg() -> None:
    failure = await failure_of(terms("test-pattern"), "/no/such/ffmpeg")
    assert str(failure) == "it cannot be reached (FFmpeg cannot be started: No such file or directory)"


@pytest.mark.parametrize(
    ("described", "facts"),
    [
        ("", Facts("unknown", None, None, copied=False)),
        ("Stream #0:0: Video: h264", Facts("unknown", None, None, copied=False)),
        (
            "Input #0, x\nStream #0:0: Audio: aac\nOutput #0\nStream #0:0: Video: mjpeg, 1x1",
            Facts("unknown", None, None, copied=False),
        ),
        (
            "Input #0, mov\n[info]   Stream #0:1[0x2](und): Video: hevc (Main) (hvc1 / 0x31637668), yuv420p(tv), "
            "3840x2160 [SAR 1:1 DAR 16:9], 8053 kb/s, 29.97 fps, 29.97 tbr\nStream mapping:",
            Facts("hevc", (3840, 2160), 29.97, copied=False),
        ),
        ("Input #0\nStream #0:0: Video: h264 (0x1b / 0x001B), none, 90k tbr", Facts("h264", None, None, copied=False)),
    ],
)  # fmt: skip
def test_facts(described: str, facts: Facts) -> None:
    assert facts_of(described, copied=False) == facts


def test_only_lines_of_trouble_are_kept_and_no_secret() -> None:
    stderr = """[info] Input #0, concat, from 'pipe:0':
[in#0 @ 0x1] [error] Impossible to open 'rtsp://u:hush%20hush@cam/1'
[rtsp @ 0x1] [error] method DESCRIBE failed: 401 hush hush
[swscaler @ 0x1] [swscaler @ 0x2] [warning] deprecated pixel format used, make sure you did set range correctly
[fatal] Error opening input files: Server returned 401 Unauthorized (authorization failed)"""
    assert said(stderr, ("hush hush", "hush%20hush")) == [
        "method DESCRIBE failed: 401 ***",
        "Server returned 401 Unauthorized (authorization failed)",
    ]

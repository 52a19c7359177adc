"""What of an item is copied into its stream, as a table; and that what is copied is where `start` says."""

import io
import subprocess
from dataclasses import replace
from pathlib import Path

import av
import pytest

from media_library.facts import Facts, StreamFacts
from media_library.probe import probe_now
from tests.media import Clips, run_ffmpeg
from transcode import argv, index
from transcode.index import Index, Length
from transcode.player import BROWSER, PLAYERS, SAFARI, Player
from transcode.profiles import PROFILES, Profile
from transcode.progressive import Plan, plan
from transcode.renditions import Source

H264 = StreamFacts("video", "h264", "avc1.64001f", "High", "yuv420p", 1280, 720, 25.0)
HEVC = replace(H264, codec="hevc", profile="Main")
ODD = replace(H264, pixel_format="yuv444p", profile="High 4:4:4 Predictive")
AAC = StreamFacts("audio", "aac", "mp4a.40.2", "LC", rate=48000, channels=2)
AC3 = StreamFacts("audio", "ac3", rate=48000, channels=6)
NEAR = Index((Length(0.0, 60.0), Length(0.0, 60.0)), tuple(map(float, range(0, 60, 2))), 142)
FAR = Index(NEAR.lengths, (0.0, 40.0))


def source(*streams: StreamFacts, container: str = "matroska,webm", known: Index = NEAR) -> Source:
    return Source(Facts(container, "video/x-matroska", 60.0, streams), known)


@pytest.mark.parametrize(
    ("what", "player", "profile", "start", "copied", "copies_audio"),
    [
        (source(H264, AAC), BROWSER, None, 0.0, "h264", True),
        (source(H264, AAC), BROWSER, None, 9.5, "h264", True),
        (source(H264, AAC), BROWSER, PROFILES["720p"], 0.0, "", False),
        (source(H264, AC3), BROWSER, None, 0.0, "h264", False),
        (source(H264, AC3), PLAYERS["everything"], None, 0.0, "h264", False),  # MP4 carries it, not every player of it
        (source(HEVC, AAC), BROWSER, None, 0.0, "", True),
        (source(HEVC, AAC), SAFARI, None, 0.0, "hevc", True),
        (source(ODD, AAC), BROWSER, None, 0.0, "", True),
        (source(replace(H264, rotation=90), AAC), BROWSER, None, 0.0, "", True),
        (source(H264, AAC, container="avi"), BROWSER, None, 0.0, "", False),
        (source(H264, AAC, container="mov,mp4,m4a"), BROWSER, None, 0.0, "h264", True),
        # The keyframe before would be too far away; from the beginning it is not.
        (source(H264, AAC, known=FAR), BROWSER, None, 0.0, "h264", True),
        (source(H264, AAC, known=FAR), BROWSER, None, 30.0, "", True),
        (source(H264, AAC, known=Index()), BROWSER, None, 30.0, "", True),
        (source(AAC), BROWSER, None, 3.0, "", True),
    ],
)
def test_what_is_copied(
    what: Source, player: Player, profile: Profile | None, start: float, copied: str, copies_audio: bool
) -> None:
    found = plan(what, player, profile, start)
    assert (found.copied, found.copies_audio) == (copied, copies_audio)
    assert found.encodes == (not copies_audio or (not copied and found.video is not None))
    assert found.profile == (profile or PROFILES["720p"])


@pytest.mark.parametrize(("video", "known"), [(ODD, 142), (H264, None)])
def test_the_version_of_x264_is_said_where_it_matters(video: StreamFacts, known: int | None) -> None:
    """FFmpeg decodes the 4:4:4 of x264 before 151 otherwise, and after a seek it does not see which version it was."""
    found = plan(source(video, AAC), BROWSER, PROFILES["360p"], 5.0)
    command = argv.progressive("ffmpeg", Path("/a.mkv"), found.profile, 5.0, video=0, audio=1, x264=found.x264)
    before_input = command[: command.index("-i")]
    assert before_input.count("-x264_build") == (known is not None)
    assert known is None or before_input[before_input.index("-x264_build") + 1] == str(known)


@pytest.mark.parametrize(
    ("made", "facts", "size", "bound"),
    [
        (Plan(PROFILES["360p"], 0.0, 0, 1), source(H264, AAC).facts, 9, int(896_000 / 8 * 60 * 1.1)),
        (Plan(PROFILES["720p"], 0.0, 0, 1, "h264"), source(H264, AC3).facts, 10**6, int(16_000 * 60 * 1.1) + 10**6),
        (Plan(PROFILES["360p"], 0.0, 0, 1), replace(source(H264).facts, duration=None), 9, None),
    ],
)
def test_how_much_it_takes_at_most(made: Plan, facts: Facts, size: int, bound: int | None) -> None:
    assert made.most_bytes(facts, size) == bound


@pytest.fixture(scope="module", params=["aac", "ac3"])
def film(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures out of their order, keyframes two seconds apart; a sound that sets in after five seconds."""
    path = tmp_path_factory.mktemp("film") / f"{request.param}.mkv"
    picture = ["-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25"]
    sound = ["-f", "lavfi", "-i", r"aevalsrc=0.5*sin(2764.6*t)*gt(t\,5):s=48000"]
    coded = ["-c:v", "libx264", "-bf", "3", "-g", "50", "-pix_fmt", "yuv420p", "-c:a", request.param]
    run_ffmpeg([*picture, *sound, "-t", "10", *coded, str(path)])
    return path


def streamed(executable: str, path: Path, start: float, known: Index) -> bytes:
    made = plan(Source(probe_now(path), known), BROWSER, None, start)
    assert made.copied == "h264"
    assert made.copies_audio == (path.stem == "aac")
    command = argv.progressive(
        executable, path, made.profile, start, video=made.video, audio=made.audio, copied=made.copied,
        copies_audio=made.copies_audio,
    )  # fmt: skip
    ended = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == b""
    return ended.stdout


def pictures(data: bytes) -> list[tuple[float, int]]:
    """Times, and what tells one picture from another, in the order they are shown."""
    with av.open(io.BytesIO(data)) as container:
        return [(float(frame.time or 0), hash(bytes(frame.planes[0]))) for frame in container.decode(video=0)]


def sets_in(data: bytes) -> float:
    """Seconds at which the sound is first heard."""
    with av.open(io.BytesIO(data)) as container:
        for frame in container.decode(audio=0):
            samples = memoryview(bytes(frame.planes[0])).cast("f")
            for number, sample in enumerate(samples[: frame.samples]):
                if abs(sample) > 0.1:
                    return float(frame.time or 0) + number / 48000
    raise AssertionError("silence")


# Seconds, less than a picture: FFmpegs differ in whether a file begins with its first sample of sound, or with what the
# encoder of it put before.
NEARLY = 0.025


@pytest.mark.parametrize("start", [0.0, 4.0, 3.36])
async def test_copied_video_is_where_start_says(ffmpeg_executable: str, film: Path, start: float) -> None:
    data = streamed(ffmpeg_executable, film, start, await index.read(film))
    shown = {hashed: time for time, hashed in pictures(film.read_bytes())}
    found = [(time, shown[hashed]) for time, hashed in pictures(data)]
    lead_in = [time for time, at in found if at < start - NEARLY]
    assert len(lead_in) <= 50
    assert all(0 <= time <= argv.SHIFT + 0.001 for time in lead_in)
    seen = [(time, at) for time, at in found if at > start + NEARLY]
    assert len(seen) == pytest.approx((10 - start) * 25, abs=1.5)
    assert all(time - argv.SHIFT + start == pytest.approx(at, abs=NEARLY) for time, at in seen)
    offsets = {round(time - at, 3) for time, at in seen}
    assert max(offsets) - min(offsets) <= 0.0011  # all by the same, but for Matroska's milliseconds


@pytest.mark.parametrize("start", [0.0, 3.36])
async def test_sound_is_where_start_says(ffmpeg_executable: str, film: Path, start: float) -> None:
    data = streamed(ffmpeg_executable, film, start, await index.read(film))
    assert sets_in(data) - argv.SHIFT == pytest.approx(5 - start, abs=NEARLY)


def test_an_mp4_is_copied_too(ffmpeg_executable: str, clips: Clips) -> None:
    made = argv.progressive(
        ffmpeg_executable, clips["bframes.mp4"], PROFILES["720p"], 3.0, video=0, audio=None, copied="h264"
    )
    found = pictures(subprocess.run(made, capture_output=True, timeout=60, check=True).stdout)
    shown = {hashed: time for time, hashed in pictures(clips["bframes.mp4"].read_bytes())}
    seen = [(time, shown[hashed]) for time, hashed in found if shown[hashed] > 3.001]
    assert len(seen) == pytest.approx(175, abs=1.5)
    assert all(time - argv.SHIFT + 3 == pytest.approx(at, abs=0.002) for time, at in seen)

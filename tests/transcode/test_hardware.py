"""Which encoder is taken. No machine of the tests has one: what FFmpeg would say comes from a script in its place,
and the command lines are held by a table."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from mediastream.environment import ENCODERS
from tests.media_library.conftest import child_pids
from transcode import argv, encoders, hardware, hls_argv
from transcode.encoders import BY_NAME, HARDWARE, SOFTWARE, Encoder
from transcode.layout import regular
from transcode.profiles import PROFILES
from transcode.renditions import Rendition

INTENTS = {
    "software": (["-vcodec", "libx264"], ["-preset", "veryfast"], ["-tune", "zerolatency"], "yuv420p"),
    "nvenc": (["-vcodec", "h264_nvenc"], ["-preset", "p4"], ["-forced-idr", "1"], "yuv420p"),
    "qsv": (["-vcodec", "h264_qsv"], ["-async_depth", "1"], ["-forced_idr", "1"], "nv12"),
    "vaapi": (["-vcodec", "h264_vaapi"], ["-vaapi_device", "/dev/dri/renderD128"], [], "nv12"),
    "videotoolbox": (["-vcodec", "h264_videotoolbox"], ["-realtime", "1"], [], "yuv420p"),
}


def command(encoder: Encoder) -> list[str]:
    return argv.progressive("ffmpeg", Path("/m/a.mp4"), PROFILES["480p"], 0.0, video=0, audio=1, encoder=encoder)


@pytest.mark.parametrize("name", INTENTS)
def test_command_lines(name: str) -> None:
    words = command(BY_NAME[name])
    *options, pixels = INTENTS[name]
    for option in options:
        assert " ".join(option) in " ".join(words)
    graph = words[words.index("-filter_complex") + 1]
    assert f"format=pix_fmts={pixels}" in graph
    assert ("hwupload" in graph) is (name == "vaapi")
    assert "-force_key_frames expr:gte(t,n_forced*2)" in " ".join(words)
    assert "-video_bitrate" not in words
    assert words[words.index("-b:v") + 1] == "1500000"


def segments(encoder: Encoder, **options: bool) -> list[str]:
    rendition = Rendition("video-480p", "video", 0, False, regular(12.0), PROFILES["480p"])
    return hls_argv.segments("ffmpeg", Path("/m/a.mp4"), rendition, 1, "h264", 25.0, encoder, **options)


@pytest.mark.parametrize("name", INTENTS)
def test_command_lines_of_segments(name: str) -> None:
    """Key frames where segments begin, each of which can be decoded alone; and none of them late or out of order."""
    words, encoder = segments(BY_NAME[name]), BY_NAME[name]
    said = " ".join(words)
    keyframes = words[words.index("-force_key_frames") + 1]
    assert keyframes.split(",") == [f"{start - 0.002:.6f}" for start in regular(12.0).starts[1:]]
    for option in (["-vcodec", encoder.codec], ["-bf", "0"], ["-maxrate", "1500000"], ["-fps_mode", "passthrough"]):
        assert " ".join(option) in said
    idr = {"nvenc": "-forced-idr 1", "qsv": "-forced_idr 1"}.get(name)
    assert idr is None or idr in said
    # These would hand pictures out at once, for which segments have no use.
    assert not any(word in words for word in ("zerolatency", "-realtime", "-async_depth", "ll"))
    graph = words[words.index("-filter_complex") + 1]
    assert f"format=pix_fmts={INTENTS[name][-1]}" in graph
    assert ("hwupload" in graph) is ("-vaapi_device" in words) is (name == "vaapi")
    assert ("-crf" in words) is (name == "software") is ("-b:v" not in words)


def test_where_encoders_may_change_each_keyframe_describes_itself() -> None:
    for encoder in BY_NAME.values():
        assert "-bsf:v dump_extra" in " ".join(segments(encoder, mixed=True))
        assert "dump_extra" not in segments(encoder)


def test_a_copy_knows_no_encoder() -> None:
    rendition = Rendition("video-copy", "video", 0, True, regular(12.0))
    words = hls_argv.segments("ffmpeg", Path("/m/a.mp4"), rendition, 1, "h264", 25.0, BY_NAME["vaapi"], mixed=True)
    assert not {"-vaapi_device", "dump_extra", "hwupload"} & set(words)


def test_what_software_alone_is_told_hardware_is_not() -> None:
    for encoder in HARDWARE:
        assert "zerolatency" not in command(encoder)
        assert "libx264" not in command(encoder)
        # CUDA maps more addresses than there is memory.
        assert encoder.limits.address_space is None
    assert SOFTWARE.limits.address_space is not None


def test_every_name_can_be_set() -> None:
    assert sorted(ENCODERS) == sorted(encoders.NAMES)


@pytest.fixture
async def ended(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """Jobs that other tests ran in this process have tried the encoders, too, on another loop."""
    monkeypatch.setattr(hardware, "_task", None)
    monkeypatch.setattr(hardware, "_trials", ())
    yield
    await hardware.end()


def script(tmp_path: Path, body: str) -> str:
    path = tmp_path / "ffmpeg"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)


async def find(wanted: str, executable: str) -> list[str]:
    hardware.begin(wanted, executable)
    assert hardware._task is not None
    await hardware._task
    return [str(trial) for trial in hardware.trials()]


async def test_the_trial_is_a_real_encode(ffmpeg_executable: str) -> None:
    """By the encoder that is surely there: the same line as for the others."""
    assert await hardware.attempt(SOFTWARE, ffmpeg_executable) == ""
    missing = replace(SOFTWARE, codec="h264_none")
    assert "encoder" in (await hardware.attempt(missing, ffmpeg_executable)).lower()


@pytest.mark.usefixtures("ended")
async def test_here_all_fail_and_software_is_taken(ffmpeg_executable: str) -> None:
    said = await find("auto", ffmpeg_executable)
    if hardware.chosen() is not SOFTWARE:
        pytest.skip("this machine has one")
    assert len(said) == len(HARDWARE)
    assert all("there is no /" in line or len(line) > 10 for line in said)


@pytest.mark.usefixtures("ended")
async def test_the_first_that_works_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    present = tuple(replace(encoder, needs="") for encoder in HARDWARE)
    monkeypatch.setattr(hardware, "HARDWARE", present)
    fake = script(tmp_path, 'case "$*" in *h264_vaapi*) exit 0;; *) echo "[error] No device" >&2; exit 1;; esac')
    assert await find("auto", fake) == ["nvenc: No device", "qsv: No device", "vaapi: works"]
    assert hardware.chosen().name == "vaapi"


@pytest.mark.usefixtures("ended")
async def test_a_driver_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "DEADLINE", 0.3)
    monkeypatch.setattr(hardware, "BY_NAME", {"nvenc": replace(BY_NAME["nvenc"], needs="")})
    before = child_pids()
    (said,) = await find("nvenc", script(tmp_path, "exec sleep 60"))
    assert "did not finish" in said
    assert hardware.chosen() is SOFTWARE
    assert child_pids() <= before


@pytest.mark.usefixtures("ended")
async def test_who_wants_software_has_nothing_tried(tmp_path: Path) -> None:
    assert await find("software", script(tmp_path, "exit 0")) == []


async def test_the_trials_end_with_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "BY_NAME", {"nvenc": replace(BY_NAME["nvenc"], needs="")})
    before = child_pids()
    hardware.begin("nvenc", script(tmp_path, "exec sleep 60"))
    for _ in range(200):
        await asyncio.sleep(0.05)
        if child_pids() - before:
            break
    assert child_pids() - before
    await hardware.end()
    assert child_pids() <= before

"""The probe against real files, and against a child that hangs, swells or dies."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from media_library import probe
from media_library.facts import browser_type
from media_library.probe import ProbeFailed, probe_now
from mediastream.errors import NotMedia
from tests.media import Clips, run_ffmpeg
from tests.media_library.conftest import child_pids


@pytest.mark.parametrize(
    ("name", "container", "content_type", "kinds", "browser"),
    [
        ("h264.mp4", "mov", "video/mp4", [("video", "h264"), ("audio", "aac")], True),
        ("silent.mp4", "mov", "video/mp4", [("video", "h264")], True),
        ("yuv444.mp4", "mov", "video/mp4", [("video", "h264"), ("audio", "aac")], False),
        ("mpeg4.avi", "avi", "video/x-msvideo", [("video", "mpeg4"), ("audio", "mp3")], False),
        ("vp8.webm", "matroska", "video/webm", [("video", "vp8"), ("audio", "opus")], True),
        ("sound.mp3", "mp3", "audio/mpeg", [("audio", "mp3")], True),
    ],
)
def test_facts(
    clips: Clips, name: str, container: str, content_type: str, kinds: list[tuple[str, str]], browser: bool
) -> None:
    facts = probe_now(clips[name])
    assert facts.container.split(",")[0] == container
    assert facts.content_type == content_type
    assert [(stream.kind, stream.codec) for stream in facts.streams] == kinds
    assert bool(browser_type(facts.content_type, list(facts.streams))) is browser


@pytest.mark.parametrize(("name", "seconds"), [("h264.mp4", 10), ("mpeg4.avi", 10), ("vp8.webm", 3), ("sound.mp3", 3)])
def test_duration(clips: Clips, name: str, seconds: float) -> None:
    assert probe_now(clips[name]).duration == pytest.approx(seconds, abs=0.15)


def test_the_picture_and_the_sound_are_described(clips: Clips) -> None:
    facts = probe_now(clips["h264.mp4"])
    picture, sound = facts.streams
    assert (picture.width, picture.height, picture.rate, picture.rotation) == (320, 180, 25.0, 0)
    assert picture.pixel_format == "yuv420p"
    assert picture.codec_string.startswith("avc1.")
    assert (sound.channels, sound.rate, sound.codec_string) == (1, 48000, "mp4a.40.2")
    assert facts.first("video") == 0
    assert facts.first("audio") == 1
    assert facts.first("subtitle") is None


@pytest.mark.parametrize(("turned", "clockwise"), [(90, 270), (-90, 90), (180, 180)])
def test_rotation_is_told_clockwise(clips: Clips, tmp_path: Path, turned: int, clockwise: int) -> None:
    """FFmpeg's option counts the other way round."""
    path = tmp_path / "rotated.mp4"
    run_ffmpeg(["-display_rotation", str(turned), "-i", str(clips["silent.mp4"]), "-c", "copy", str(path)])
    picture = probe_now(path).streams[0]
    assert picture.rotation == clockwise
    assert (picture.width, picture.height) == (320, 180)


@pytest.mark.parametrize(
    "name", ["-i.mp4", "http:x.mp4", "concat:a|b.mp4", "a%d.mp4", "new\nline.mp4", "ünï 😀.mp4", "pipe:0"]
)
def test_a_name_is_a_name_whatever_it_looks_like(clips: Clips, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    shutil.copy(clips["silent.mp4"], path)
    assert probe_now(path).content_type == "video/mp4"


@pytest.mark.parametrize(
    "content",
    [
        b"just some words\n" * 100,
        b"\x89PNG\r\n\x1a\n" + bytes(200),
        b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n/etc/passwd\n#EXT-X-ENDLIST\n",
        b"ffconcat version 1.0\nfile /etc/passwd\n",
        b"<?xml version='1.0'?><MPD></MPD>",
    ],
)
def test_what_is_not_media_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.mp4"
    path.write_bytes(content)
    with pytest.raises(NotMedia, match="cannot be used") as caught:
        probe_now(path)
    assert str(tmp_path) not in caught.value.detail


def test_a_truncated_file_is_refused(clips: Clips, tmp_path: Path) -> None:
    whole = clips["h264.mp4"].read_bytes()
    path = tmp_path / "half.mp4"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(NotMedia, match="cut off"):
        probe_now(path)


def test_a_file_that_is_gone_is_our_fault_not_the_files(tmp_path: Path) -> None:
    with pytest.raises(ProbeFailed) as caught:
        probe_now(tmp_path / "gone.mp4")
    assert "Traceback" not in str(caught.value)
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("import time; time.sleep(60)", "did not finish within 1 seconds"),
        ("piled = bytearray(20 * 1024**3); print(len(piled))", "ended with 1: MemoryError"),
        ("import os; os.kill(os.getpid(), 11)", "ended with -11"),
        ("raise SystemExit(7)", "ended with 7: no word\\."),
        ("print('not JSON')", "answer cannot be read"),
        ("print('[]')", "answer cannot be read"),
        ('print(\'{"container": "mov"}\')', "answer cannot be read"),
        ("while True: print('x' * 10000)", "ended with -9"),
    ],
)
def test_a_child_that_fails_says_nothing_of_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str, reason: str
) -> None:
    """ProbeFailed, not NotMedia: a later try may do. The reason is shown to visitors, so it has no traceback."""
    child = tmp_path / "child.py"
    child.write_text(script)
    monkeypatch.setattr(probe, "CHILD", child)
    if "sleep" in script:
        monkeypatch.setattr(probe, "DEADLINE", 1.0)
    before = child_pids()
    with pytest.raises(ProbeFailed, match=reason) as caught:
        probe_now(tmp_path / "x.mp4")
    assert "Traceback" not in str(caught.value)
    assert str(tmp_path) not in str(caught.value)
    assert child_pids() <= before


def test_a_probe_that_cannot_be_started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async def refused(*args: Any, **kwargs: Any) -> None:
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr("mediastream.process.run", refused)
    with pytest.raises(ProbeFailed, match="cannot be started: Resource temporarily unavailable"):
        probe_now(tmp_path / "x.mp4")

"""Which FFmpeg runs, what it may open, and that its words tell strangers nothing."""

from collections.abc import Iterator
from pathlib import Path

import imageio_ffmpeg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediastream import ffmpeg
from mediastream.ffmpeg import FFmpegMissing, executable, last_words, stored_input


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    executable.cache_clear()
    yield
    executable.cache_clear()


def program(folder: Path, name: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_the_one_asked_for_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    system, asked = program(tmp_path / "bin", "ffmpeg"), program(tmp_path / "opt", "ffmpeg9")
    monkeypatch.setenv("PATH", str(system.parent))
    assert executable(str(asked)) == str(asked)
    assert executable("ffmpeg") == str(system)


@pytest.mark.parametrize("preferred", [None, ""])
def test_then_the_systems_then_the_bundled_one(
    preferred: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = program(tmp_path / "bin", "ffmpeg")
    monkeypatch.setenv("PATH", str(system.parent))
    assert executable(preferred) == str(system)
    executable.cache_clear()
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", lambda: "/bundled/ffmpeg")
    assert executable(preferred) == "/bundled/ffmpeg"


def test_one_asked_for_that_cannot_run_is_not_replaced_by_another(tmp_path: Path) -> None:
    """Whoever names one wants its codecs; another would fail later and elsewhere."""
    plain = tmp_path / "ffmpeg"
    plain.write_text("not executable")
    for preferred in (str(plain), str(tmp_path / "missing")):
        with pytest.raises(FFmpegMissing, match="MEDIASTREAM_FFMPEG"):
            executable(preferred)


def test_none_at_all_says_how_to_get_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> str:
        raise RuntimeError("No ffmpeg exe could be found")

    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", missing)
    with pytest.raises(FFmpegMissing, match="install it"):
        executable()


@pytest.mark.parametrize("name", ["/a/b.mp4", "/a/-i", "/a/http:b", '/a/it\'s "q".mp4', "/a/new\nline", "/a/🎬.mp4"])
def test_a_stored_file_goes_in_as_a_url_that_can_be_nothing_else(name: str) -> None:
    url, options = stored_input(Path(name))
    assert url == f"file:{name}"
    assert options["protocol_whitelist"] == "file"
    assert options["format_whitelist"].split(",") == list(ffmpeg.STORED_FORMATS)


@pytest.mark.parametrize("name", ["b.mp4", "-i", "http://host/a.mp4", ""])
def test_a_relative_path_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="not absolute"):
        stored_input(Path(name))


def test_no_whitelisted_format_opens_other_files() -> None:
    assert not {"hls", "concat", "concatf", "dash", "sdp", "rtsp", "image2", "lavfi", "imf", "tee"} & set(
        ffmpeg.STORED_FORMATS
    )


@pytest.mark.parametrize(
    ("stderr", "words"),
    [
        ("", "FFmpeg said nothing"),
        (" \n\n", "FFmpeg said nothing"),
        ("[error] broke", "broke"),
        ("[mov,mp4 @ 0x55d0c8] [error] moov atom not found", "moov atom not found"),
        ("one\ntwo\nthree", "two; three"),
        ("same\nother\nsame", "same; other"),
        # Paths
        ("[error] file:/srv/media/ab/cd.mp4: Invalid data found", "the file: Invalid data found"),
        ("[error] file:/srv/My Films/a b.mp4: Invalid data found", "the file: Invalid data found"),
        ("[error] file:/srv/a: b.mp4: Invalid data found", "the file: Invalid data found"),
        ("Error opening input file file:/srv/My Films/a.mp4.", "Error opening input file the file"),
        ("[in#0 @ 0x7f] [fatal] Error opening input: No such file", "Error opening input: No such file"),
        # Addresses keep their host, which the administrator needs, and nothing else.
        ("rtsp://cam.example:554/live/1?token=hush: 401 Unauthorized", "rtsp://cam.example:554 401 Unauthorized"),
        ("rtsp://user:hush@cam.example/live: failed", "rtsp://cam.example failed"),
        ("rtsp://user:hu@sh@cam.example/live: failed", "rtsp://cam.example failed"),
        ("rtsp://user:hush@cam.example: failed", "rtsp://cam.example: failed"),
        ("Opening 'http://u:hush@h/seg.ts' for reading", "Opening 'http://h for reading"),
        ("tcp://10.0.0.1:554?timeout=0: Connection refused", "tcp://10.0.0.1:554 Connection refused"),
        ("http://[2001:db8::1]:80/x: failed", "http://[2001:db8::1]:80 failed"),
    ],
)
def test_last_words(stderr: str, words: str) -> None:
    assert last_words(stderr) == words


@given(user=st.text("ab@:", max_size=6), path=st.text("ab/ .@?", max_size=10), before=st.text("a [:\n", max_size=9))
def test_a_password_never_shows(user: str, path: str, before: str) -> None:
    said = last_words(f"{before}rtsp://{user}:HUSH@cam/{path}: failed\nrtsp://u:HUSH@cam: failed", lines=9)
    assert "HUSH" not in said

from pathlib import Path

import pytest

from media_library.facts import Facts, StreamFacts
from mediastream.ffmpeg import STORED_FORMATS
from transcode.jobs import commands
from transcode.jobs.optimising import why_not
from transcode.profiles import FILE
from transcode.sprites import layout

SOURCE, TARGET = Path("/media/a b.mkv"), Path("/tmp/out")
OPEN = ["-protocol_whitelist", "file", "-format_whitelist", ",".join(STORED_FORMATS)]


def has(argv: list[str], *words: str) -> bool:
    text = "\0".join(argv)
    return f"\0{chr(0).join(words)}\0" in f"\0{text}\0"


def check_common(argv: list[str]) -> None:
    assert argv[0] == "ffmpeg"
    assert has(argv, "-i", f"file:{SOURCE}")
    assert has(argv, "-progress", "pipe:1")
    assert "-nostdin" in argv
    assert "-y" in argv  # its target is there already: an empty file of ours
    for flag, value in zip(OPEN[::2], OPEN[1::2], strict=True):
        assert has(argv, flag, value)


def test_thumbnails_decode_key_frames_alone() -> None:
    argv = commands.thumbnails("ffmpeg", SOURCE, Path("/tmp/t"), 1, layout(7200.0, 1920, 1080, 0))
    check_common(argv)
    before = argv[: argv.index("-i")]
    assert has(before, "-skip_frame", "nokey")
    assert has(before, "-discard", "nokey")
    assert has(argv, "-vframes", "6")
    assert argv[argv.index("-i") + 3].startswith("[0:1]fps=eof_action=pass:fps=1/24.000000:start_time=0[")
    assert "file:/tmp/t/%d.jpg" in argv


@pytest.mark.parametrize(
    ("hevc", "text", "there", "not_there"),
    [
        (False, False, [], ["-tag:v", "-c:s"]),
        (True, True, ["-tag:v", "hvc1", "-c:s", "mov_text"], []),
    ],
)
def test_remuxes_copy(hevc: bool, text: bool, there: list[str], not_there: list[str]) -> None:
    argv = commands.remux("ffmpeg", SOURCE, TARGET, [0, 2], hevc=hevc, text=text)
    check_common(argv)
    assert has(argv, "-c", "copy")
    assert has(argv, "-map", "0:0")
    assert has(argv, "-map", "0:2")
    assert has(argv, "-movflags", "+faststart")
    assert set(there) <= set(argv)
    assert not set(not_there) & set(argv)


def test_encodes_are_what_every_browser_plays() -> None:
    argv = commands.encode("ffmpeg", SOURCE, TARGET, FILE, 0, [1, 3], [4])
    assert has(argv, "-map", "0:4", "-f", "mp4")
    assert has(argv, "-c:s", "mov_text")
    check_common(argv)
    assert "format=pix_fmts=yuv420p" in argv[argv.index("-filter_complex") + 1]
    for words in (("-c:v", "libx264"), ("-c:a", "aac"), ("-map", "0:1"), ("-map", "0:3"), ("-movflags", "+faststart")):
        assert has(argv, *words)


def test_sound_alone_is_encoded_without_a_picture() -> None:
    argv = commands.encode("ffmpeg", SOURCE, TARGET, FILE, None, [0])
    assert "-filter_complex" not in argv
    assert "libx264" not in argv


def facts(*streams: tuple[str, str], content_type: str = "video/x-matroska") -> Facts:
    return Facts("matroska,webm", content_type, 10.0, tuple(StreamFacts(kind, codec) for kind, codec in streams))


@pytest.mark.parametrize(
    ("given", "refused"),
    [
        (facts(("video", "h264"), ("audio", "aac")), ""),
        (facts(("video", "hevc"), ("audio", "opus"), ("subtitle", "subrip")), ""),
        (facts(("video", "h264"), ("picture", "mjpeg"), ("data", "unknown")), ""),
        (facts(("audio", "mp3")), "Sound alone"),
        (facts(("video", "vp9"), ("audio", "opus"), content_type="video/webm"), "WebM plays"),
        (facts(("video", "theora")), "its video \\(theora\\)"),
        (facts(("video", "h264"), ("audio", "vorbis")), "its audio \\(vorbis\\)"),
        (facts(("video", "h264"), ("subtitle", "hdmv_pgs_subtitle")), "its subtitle \\(hdmv"),
    ],
)
def test_a_remux_loses_nothing(given: Facts, refused: str) -> None:
    import re

    assert re.search(refused, why_not(given)) if refused else why_not(given) == ""

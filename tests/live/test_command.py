"""FFmpeg's command line for each kind of source, and what FFmpeg then does: both of them, for real."""

import itertools
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mediastream.live.command import Command, command
from mediastream.live.frames import JpegSplitter
from mediastream.live.terms import Terms
from tests.media import Clips, run_ffmpeg

EACH = [
    "test-pattern", "/srv/a.mp4", "/dev/video0", "rtsp://cam/1", "rtsps://cam/1", "rtmp://cam/app/key",
    "rtmps://cam/app/key", "http://cam/a", "https://cam/a", "srt://cam:9000", "udp://239.0.0.1:1234",
]  # fmt: skip


def built(text: str, executable: str = "ffmpeg", hls: bool = False, copy: bool = False, **terms: object) -> Command:
    wanted = Terms(**{"source": text, "fps": 25, "visibility": "public"} | terms)  # type: ignore[arg-type]
    source = wanted.parsed()
    return command(executable, source.as_hls() if hls else source, wanted, copy=copy)


def option(words: tuple[str, ...], name: str) -> str:
    """An input option's value."""
    return words[words.index(name, 0, words.index("-i")) + 1]


@pytest.mark.parametrize("text", [text for text in EACH if "://" in text])
@pytest.mark.parametrize("hls", [False, True])
def test_an_address_is_read_from_stdin_with_whitelists_of_its_own(text: str, hls: bool) -> None:
    if hls and not text.startswith("http"):
        return
    made = built(text, hls=hls)
    argv = made.argv
    assert argv[argv.index("-i") + 1] == "pipe:0"
    assert (option(argv, "-f"), option(argv, "-safe")) == ("concat", "0")
    assert (option(argv, "-protocol_whitelist"), option(argv, "-format_whitelist")) == ("pipe", "concat")
    assert made.stdin is not None
    head, file, *options = made.stdin.decode().splitlines()
    assert (head, file) == ("ffconcat version 1.0", f"file '{text}'")
    given = dict(line.removeprefix("option ").split(" ") for line in options)
    assert "pipe" not in given["protocol_whitelist"]
    assert "file" not in given["protocol_whitelist"]
    assert "concat" not in given["format_whitelist"]
    assert ("hls" in given["format_whitelist"]) is hls
    assert given.get("rtsp_transport") == ("tcp" if text.startswith("rtsp") else None)


@pytest.mark.parametrize("text", ["test-pattern", "/srv/a.mp4", "/dev/video0"])
def test_what_lies_on_the_server_needs_no_script(text: str) -> None:
    assert built(text).stdin is None


@pytest.mark.parametrize("scheme", ["rtsp", "rtmp", "http", "https"])
def test_the_arguments_say_nothing_of_the_address(scheme: str) -> None:
    made = built(f"{scheme}://camera.example/hush?token=hush", username="hush", password="hush'; option f lavfi")
    said = " ".join(made.argv)
    assert "hush" not in said
    assert "camera.example" not in said
    assert made.stdin is not None
    file = made.stdin.decode().splitlines()[1]
    assert file == rf"file '{scheme}://hush:hush'\''%3B%20option%20f%20lavfi@camera.example/hush?token=hush'".replace(
        "%3B", ";"
    )


@pytest.mark.parametrize(
    "address", ["http://cam/$(touch x);`id`&|>y", "http://cam/a b", "http://cam/'\"\\", "rtsp://cam/%{localtime}"]
)
def test_an_address_is_one_word_of_the_script(address: str) -> None:
    script = built(address).stdin
    assert script is not None
    lines = script.decode().splitlines()
    assert [line.split()[0] for line in lines[:2]] == ["ffconcat", "file"]
    assert {line.split()[0] for line in lines[2:]} == {"option"}
    assert lines[1] == "file '" + address.replace("'", "'\\''") + "'"


@pytest.mark.parametrize(
    ("text", "any_certificate", "verify"),
    [
        ("https://cam/", False, "1"),
        ("https://cam/", True, "0"),
        ("rtsps://cam/", False, "1"),
        ("rtsp://cam/", False, None),
    ],
)
def test_certificates_are_looked_at(text: str, any_certificate: bool, verify: str | None) -> None:
    script = built(text, any_certificate=any_certificate).stdin
    assert script is not None
    said = [line.split()[-1] for line in script.decode().splitlines() if "tls_verify" in line]
    assert said == ([] if verify is None else [verify])


def test_files_and_devices_are_limited_to_their_demuxers() -> None:
    file, device = built("/srv/a.mp4").argv, built("/dev/video0", size="640x480", fps=12).argv
    assert option(file, "-protocol_whitelist") == "file"
    assert "mov" in option(file, "-format_whitelist")
    assert file[file.index("-i") + 1] == "file:/srv/a.mp4"
    assert (option(device, "-f"), option(device, "-video_size"), option(device, "-framerate")) == (
        "v4l2",
        "640x480",
        "12",
    )
    assert device[device.index("-i") + 1] == "/dev/video0"


def test_only_the_test_pattern_is_made_by_filters() -> None:
    for text in EACH:
        made = built(text).argv
        assert ("lavfi" in made) is (text == "test-pattern")
        assert any("drawtext" in word for word in made) is (text == "test-pattern")


def pictures(made: Command, most: int = 10**6, seconds: float = 60) -> Iterator[bytes]:
    """Run it, for as long as pictures are taken."""
    with subprocess.Popen(made.argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(made.stdin or b"")
        child.stdin.close()
        splitter = JpegSplitter()
        try:
            while data := child.stdout.read1(65536):
                yield from splitter.feed(data)
        finally:
            child.kill()


def first_jpeg(made: Command) -> bytes:
    return next(pictures(made))


def size_of(jpeg: bytes) -> tuple[int, int]:
    """Out of its frame header, ITU-T T.81 section B.2.2."""
    at = jpeg.index(b"\xff\xc0")
    return int.from_bytes(jpeg[at + 7 : at + 9]), int.from_bytes(jpeg[at + 5 : at + 7])


@pytest.mark.timeout(30)
def test_the_test_pattern_gives_pictures(ffmpeg_executable: str) -> None:
    jpeg = first_jpeg(built("test-pattern", ffmpeg_executable))
    assert jpeg.startswith(b"\xff\xd8")
    assert len(jpeg) > 10_000
    assert size_of(jpeg) == (960, 540)
    assert size_of(first_jpeg(built("test-pattern", ffmpeg_executable, size="320x240"))) == (320, 240)


@pytest.mark.timeout(30)
def test_a_file_gives_pictures(ffmpeg_executable: str, clips: Clips, tmp_path: Path) -> None:
    """With a name that would be an option, a filter or a pattern anywhere else."""
    path = tmp_path / "-i '%03d' [0:v];a=b:c.mp4"
    path.symlink_to(clips["silent.mp4"])
    assert first_jpeg(built(str(path), ffmpeg_executable, fps=5)).startswith(b"\xff\xd8")


@pytest.mark.parametrize(
    ("size", "given"), [("", (320, 180)), ("160x90", (160, 90)), ("100x400", (100, 56)), ("640x480", (320, 180))]
)
def test_pictures_are_made_smaller_and_never_larger(
    ffmpeg_executable: str, clips: Clips, size: str, given: tuple[int, int]
) -> None:
    assert size_of(first_jpeg(built(str(clips["silent.mp4"]), ffmpeg_executable, size=size))) == given


def test_quality_is_ffmpegs(ffmpeg_executable: str, clips: Clips) -> None:
    best, middle, worst = (
        len(first_jpeg(built(str(clips["silent.mp4"]), ffmpeg_executable, quality=quality))) for quality in (2, 5, 31)
    )
    assert best > middle > worst


def once(text: str, executable: str, fps: int) -> Command:
    """The command without the loop and the pace of a file's own speed."""
    made = built(text, executable, fps=fps)
    words = list(made.argv)
    del words[words.index("-stream_loop") : words.index("-stream_loop") + 2]
    words.remove("-re")
    return Command(tuple(words))


@pytest.mark.parametrize(("rate", "fps", "count"), [(25, 25, 50), (25, 5, 10), (30, 25, 50), (5, 25, 10), (10, 1, 2)])
def test_pictures_are_left_out_evenly_and_never_made_up(
    ffmpeg_executable: str, tmp_path: Path, rate: int, fps: int, count: int
) -> None:
    path = tmp_path / "clip.mp4"
    run_ffmpeg(["-f", "lavfi", "-i", f"testsrc2=size=64x64:rate={rate}", "-t", "2", str(path)])
    given = list(pictures(once(str(path), ffmpeg_executable, fps)))
    assert abs(len(given) - count) <= 1
    assert all(one != two for one, two in itertools.pairwise(given))


def test_time_that_jumps_stops_no_picture(ffmpeg_executable: str, tmp_path: Path) -> None:
    """As it does when a camera sets its clock, or a stream begins anew within its connection."""
    parts = []
    for number, offset in enumerate(("1000", "0", "1000")):
        part = tmp_path / f"{number}.ts"
        make = ["-f", "lavfi", "-i", "testsrc2=size=64x64:rate=25", "-t", "2", "-c:v", "libx264"]
        run_ffmpeg([*make, "-output_ts_offset", offset, str(part)])
        parts.append(part.read_bytes())
    joined = tmp_path / "joined.ts"
    joined.write_bytes(b"".join(parts))
    assert len(list(pictures(once(str(joined), ffmpeg_executable, 25)))) >= 140


def test_a_header_that_promises_too_much_is_not_believed(ffmpeg_executable: str, tmp_path: Path) -> None:
    """A picture of 60,000 by 60,000 would take ten gigabytes."""
    jpeg = first_jpeg(built("test-pattern", ffmpeg_executable))
    at = jpeg.index(b"\xff\xc0") + 5
    path = tmp_path / "huge.mjpeg"
    path.write_bytes((jpeg[:at] + (60_000).to_bytes(2) * 2 + jpeg[at + 4 :]) * 3)
    assert list(pictures(once(str(path), ffmpeg_executable, 25))) == []

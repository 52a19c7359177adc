"""What an administrator may name as a camera, and what FFmpeg is then allowed to open for it."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediastream.ffmpeg import STORED_FORMATS
from mediastream.live.frames import JpegSplitter
from mediastream.live.sources import SourceInvalid, argv, masked, parse
from tests.media import Clips

# Demuxers that open what a file says as well as what it is.
LEADING_ELSEWHERE = {"concat", "concatf", "dash", "image2", "lavfi", "imf", "tty", "vapoursynth"}


@pytest.mark.parametrize(
    ("text", "url", "protocols"),
    [
        ("/srv/cam.mp4", "file:/srv/cam.mp4", "file"),
        ("  /srv/cam.mp4 ", "file:/srv/cam.mp4", "file"),
        ("file:/srv/cam.mp4", "file:/srv/cam.mp4", "file"),
        ("file:///srv/cam.mp4", "file:/srv/cam.mp4", "file"),
        ("/srv/-i 'a';b.mp4", "file:/srv/-i 'a';b.mp4", "file"),
        ("/dev/video0", "/dev/video0", "file"),
        ("/dev/video12", "/dev/video12", "file"),
        ("/dev/videos/a.mp4", "file:/dev/videos/a.mp4", "file"),
        ("rtsp://cam/1", "rtsp://cam/1", "rtsp,rtp,udp,tcp"),
        ("rtsp://u:p@cam:8554/1?a=b", "rtsp://u:p@cam:8554/1?a=b", "rtsp,rtp,udp,tcp"),
        ("rtsps://cam/1", "rtsps://cam/1", "rtsps,rtsp,rtp,srtp,tcp,tls"),
        ("rtmp://cam/app/key", "rtmp://cam/app/key", "rtmp,tcp"),
        ("rtmps://cam/app/key", "rtmps://cam/app/key", "rtmps,tcp,tls"),
        ("http://cam/video.mjpg", "http://cam/video.mjpg", "http,https,tcp,tls,crypto"),
        ("https://cam/x;$(id)", "https://cam/x;$(id)", "https,tcp,tls,crypto"),
        ("http://[2001:db8::1]:81/x", "http://[2001:db8::1]:81/x", "http,https,tcp,tls,crypto"),
        ("srt://cam:9000", "srt://cam:9000", "srt"),
        ("udp://239.0.0.1:1234", "udp://239.0.0.1:1234", "udp"),
    ],
)
def test_sources(text: str, url: str, protocols: str) -> None:
    source = parse(text)
    options = dict(source.options)
    assert (source.url, options["protocol_whitelist"]) == (url, protocols)
    formats = {options["f"]} if "f" in options else set(options["format_whitelist"].split(","))
    assert formats
    assert not formats & LEADING_ELSEWHERE
    command = argv("ffmpeg", source, 5)
    before_input = command[: command.index("-i")]
    assert command[command.index("-i") + 1] == url
    assert before_input[before_input.index("-protocol_whitelist") + 1] == protocols
    assert ("-format_whitelist" in before_input) != ("-f" in before_input)
    # Only playlists that came over the network may name further addresses, and never a file.
    assert "file" not in protocols.split(",") or not {"hls", "rtsp", "sdp"} & formats


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "cam.mp4",
        "../cam.mp4",
        "./cam.mp4",
        "file:cam.mp4",
        "file://host/cam.mp4",
        "-i",
        "-",
        "test-pattern2",
        "testsrc2",
        "video0",
        "http://",
        "http:///x",
        "http:host",
        "http://:80/",
        "http://cam:0/",
        "http://cam:99999/",
        "http://cam:port/",
        "http://[::1/",
        "rtsp://user:pa/ss@cam/",
        "ftp://cam/x.mp4",
        "sftp://cam/x.mp4",
        "gopher://cam/x",
        "concat:/etc/passwd",
        "concat:/a|/b",
        "pipe:0",
        "fd:0",
        "data:text/plain,x",
        "subfile:/etc/passwd",
        "subfile,,start,0,end,9,,:/etc/passwd",
        "crypto:/etc/passwd",
        "cache:/etc/passwd",
        "async:file:/etc/passwd",
        "hls+http://cam/x",
        "tee:/x",
        "unix:/run/x",
        "lavfi:testsrc",
        "tcp://cam:1",
        "rtp://cam:1",
        "/srv/a\nb.mp4",
        "http://cam/\r\nHost: x",
        "/srv/a\0.mp4",
        "rtsp://cam/\u202e",
    ],
)
def test_refusals(text: str) -> None:
    with pytest.raises(SourceInvalid):
        parse(text)


def test_only_the_test_pattern_is_made_by_filters() -> None:
    command = argv("ffmpeg", parse("test-pattern"), 25)
    assert command[command.index("-f") + 1] == "lavfi"
    assert any("drawtext" in word for word in command)
    for text in ("/srv/a.mp4", "/dev/video0", "http://cam/x"):
        assert not {"lavfi"} & set(argv("ffmpeg", parse(text), 25))


def test_files_and_devices_are_limited_to_their_demuxers() -> None:
    whitelist = dict(parse("/srv/a.mp4").options)["format_whitelist"].split(",")
    assert whitelist == [*STORED_FORMATS, "mjpeg", "mpjpeg"]
    assert dict(parse("/dev/video0").options)["f"] == "v4l2"


@pytest.mark.parametrize(
    "address", ["http://cam/$(touch x);`id`&|>y", "http://cam/a b", "http://cam/'\"\\", "rtsp://cam/%{localtime}"]
)
def test_an_address_is_one_word_of_the_command(address: str) -> None:
    command = argv("ffmpeg", parse(address), 5)
    assert command.count(address) == 1
    assert command[command.index(address) - 1] == "-i"
    assert all(isinstance(word, str) for word in command)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("test-pattern", "test-pattern"),
        ("/srv/a?b@c.mp4", "/srv/a?b@c.mp4"),
        ("rtsp://cam/1", "rtsp://cam/1"),
        ("rtsp://user:hush@cam:554/1", "rtsp://***@cam:554/1"),
        ("rtsp://hush@cam/1", "rtsp://***@cam/1"),
        ("rtsp://user:hu@sh@cam/1", "rtsp://***@cam/1"),
        ("rtsp://user:hush@[2001:db8::1]:554/1", "rtsp://***@[2001:db8::1]:554/1"),
        ("rtsp://user:hush@", "rtsp://***@"),
        ("rtsp://user:hu/sh@cam/1", "(malformed address)"),
        ("rtsp://user:hu#sh@cam/1", "(malformed address)"),
        ("rtsp://user:hush@[cam/1", "(malformed address)"),
        ("http://cam/video.cgi?user=admin&pwd=hush", "http://cam/video.cgi?***"),
    ],
)
def test_masked(text: str, shown: str) -> None:
    assert masked(text) == shown


@given(user=st.text(max_size=5), host=st.text(max_size=5), path=st.text(max_size=5))
def test_no_password_shows_of_a_source_that_was_taken(user: str, host: str, path: str) -> None:
    for text in (f"rtsp://{user}:HUSH@cam{host}/{path}", f"http://cam{host}/{path}?{user}=HUSH"):
        try:
            source = parse(text)
        except SourceInvalid:
            continue
        if "#" not in text and "/" not in user:
            assert "HUSH" not in str(source)


@given(st.text())
def test_any_text_is_a_source_or_invalid(text: str) -> None:
    masked(text)
    try:
        source = parse(text)
    except SourceInvalid:
        return
    assert argv("ffmpeg", source, 5)


def first_jpeg(command: list[str]) -> bytes:
    """Run a camera's command until it gives one picture."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        splitter = JpegSplitter()
        try:
            while data := child.stdout.read1(65536):
                if frames := splitter.feed(data):
                    return frames[0]
            raise AssertionError(child.stderr.read().decode())
        finally:
            child.kill()


@pytest.mark.timeout(30)
def test_the_test_pattern_gives_pictures(ffmpeg_executable: str) -> None:
    jpeg = first_jpeg(argv(ffmpeg_executable, parse("test-pattern"), 25))
    assert jpeg.startswith(b"\xff\xd8")
    assert len(jpeg) > 10_000


@pytest.mark.timeout(30)
def test_a_file_gives_pictures(ffmpeg_executable: str, clips: Clips, tmp_path: Path) -> None:
    """With a name that would be an option, a filter or a pattern anywhere else."""
    path = tmp_path / "-i '%03d' [0:v];a=b:c.mp4"
    path.symlink_to(clips["silent.mp4"])
    assert first_jpeg(argv(ffmpeg_executable, parse(str(path)), 5)).startswith(b"\xff\xd8")

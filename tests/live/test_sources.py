"""What an administrator may name as a camera, and what FFmpeg is then allowed to open for it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediastream.ffmpeg import STORED_FORMATS
from mediastream.live.sources import FILE, SourceInvalid, masked, parse

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
        ("rtsp://cam/1", "rtsp://cam/1", "tcp"),
        ("RTSP://cam/1", "rtsp://cam/1", "tcp"),
        ("rtsp://u:p@cam:8554/1?a=b", "rtsp://cam:8554/1?a=b", "tcp"),
        ("rtsps://cam/1", "rtsps://cam/1", "tls,tcp"),
        ("rtmp://cam/app/key", "rtmp://cam/app/key", "rtmp,tcp"),
        ("rtmps://cam/app/key", "rtmps://cam/app/key", "rtmps,tls,tcp"),
        ("http://cam/video.mjpg", "http://cam/video.mjpg", "http,https,tls,tcp"),
        ("https://cam/x;$(id)", "https://cam/x;$(id)", "https,tls,tcp"),
        ("http://[2001:db8::1]:81/x", "http://[2001:db8::1]:81/x", "http,https,tls,tcp"),
        ("srt://cam:9000", "srt://cam:9000", "srt"),
        ("udp://239.0.0.1:1234", "udp://239.0.0.1:1234", "udp"),
    ],
)
def test_sources(text: str, url: str, protocols: str) -> None:
    source = parse(text)
    assert (source.url, source.kind.protocols) == (url, protocols)
    formats = set(source.kind.formats.split(","))
    assert formats
    assert not formats & LEADING_ELSEWHERE
    # Only playlists that came over the network may name further addresses, and never a file.
    assert "file" not in protocols.split(",") or not {"hls", "rtsp", "sdp"} & formats


def test_a_playlist_may_lead_on_but_to_no_file() -> None:
    for scheme, allowed in (
        ("http", {"http", "https", "tls", "tcp", "crypto"}),
        ("https", {"https", "tls", "tcp", "crypto"}),
    ):
        source = parse(f"{scheme}://cam/x").as_hls()
        assert set(source.kind.protocols.split(",")) == allowed
        assert "hls" in source.kind.formats.split(",")
        assert not LEADING_ELSEWHERE & set(source.kind.formats.split(","))
        assert "hls" not in parse(f"{scheme}://cam/x").kind.formats.split(",")


@pytest.mark.parametrize(
    ("text", "given", "kept", "name", "password", "address"),
    [
        ("rtsp://cam/1", ("", ""), "rtsp://cam/1", "", "", "rtsp://cam/1"),
        ("rtsp://u:p@cam:554/1", ("", ""), "rtsp://cam:554/1", "u", "p", "rtsp://u:p@cam:554/1"),
        ("rtsp://cam:554/1", ("u", "p"), "rtsp://cam:554/1", "u", "p", "rtsp://u:p@cam:554/1"),
        ("rtsp://u:p@cam/1", ("v", "q"), "rtsp://cam/1", "v", "q", "rtsp://v:q@cam/1"),
        ("rtsp://u:p%40s%2Fs@cam/", ("", ""), "rtsp://cam/", "u", "p@s/s", "rtsp://u:p%40s%2Fs@cam/"),
        ("rtsp://u:p@s@cam/", ("", ""), "rtsp://cam/", "u", "p@s", "rtsp://u:p%40s@cam/"),
        ("http://cam/", ("ü", "a b'%:"), "http://cam/", "ü", "a b'%:", "http://%C3%BC:a%20b'%25%3A@cam/"),
        ("rtmp://u@[2001:db8::1]:1/a", ("", ""), "rtmp://[2001:db8::1]:1/a", "u", "", "rtmp://u:@[2001:db8::1]:1/a"),
    ],
)
def test_name_and_password_stand_apart_from_the_address(
    text: str, given: tuple[str, str], kept: str, name: str, password: str, address: str
) -> None:
    source = parse(text, *given)
    assert (source.text, source.url) == (kept, kept)
    assert (source.username, source.password, source.address) == (name, password, address)
    assert "password" not in repr(source)


@pytest.mark.parametrize(
    "text", ["test-pattern", "/srv/a.mp4", "/dev/video0", "srt://cam:1", "udp://cam:1", "srt://u:p@cam:1"]
)
def test_what_takes_no_password_refuses_one(text: str) -> None:
    with pytest.raises(SourceInvalid, match="takes no name and password"):
        parse(text, *(() if "@" in text else ("u", "p")))


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
        "rtsp://u:a%0Ab@cam/",
        "rtsp://u%3Av:p@cam/",
    ],
)
def test_refusals(text: str) -> None:
    with pytest.raises(SourceInvalid):
        parse(text)


def test_files_are_limited_to_what_opens_nothing_else() -> None:
    assert FILE.formats.split(",") == [*STORED_FORMATS, "mjpeg", "mpjpeg"]


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
        ("rtmp://cam/live/hush", "rtmp://cam/live/***"),
        ("rtmp://cam/live", "rtmp://cam/live"),
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


@given(st.text(), st.text(max_size=3), st.text(max_size=3))
def test_any_text_is_a_source_or_invalid(text: str, name: str, password: str) -> None:
    masked(text)
    try:
        source = parse(text, name, password)
    except SourceInvalid:
        return
    assert parse(source.text, source.username, source.password) == source

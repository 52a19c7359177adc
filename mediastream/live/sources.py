"""What a camera may be: a text an administrator gives, parsed once into a source and an FFmpeg argv.

Each kind has its own protocol and format whitelist (ffmpeg.py says why): an address on the network must
not lead FFmpeg to a local file, nor a file to an address.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import ffmpeg

from mediastream.ffmpeg import STORED_FORMATS

TEST_PATTERN = "test-pattern"
FONT = Path(__file__).resolve().parent / "fonts" / "DejaVuSansMono.ttf"
_STREAM_FORMATS = "mpjpeg,mjpeg,jpeg_pipe,mpegts,flv,mov,matroska,hls,h264,hevc,ogg,live_flv"
# scheme -> (protocols it may use, demuxers it may use, further input options)
_NETWORK: dict[str, tuple[str, str, dict[str, Any]]] = {
    "rtsp": ("rtsp,rtp,udp,tcp", "rtsp,rtp,sdp", {"rtsp_transport": "tcp"}),
    "rtsps": ("rtsps,rtsp,rtp,srtp,tcp,tls", "rtsp,rtp,sdp", {"rtsp_transport": "tcp"}),
    "rtmp": ("rtmp,tcp", "flv,live_flv", {}),
    "rtmps": ("rtmps,tcp,tls", "flv,live_flv", {}),
    "http": ("http,https,tcp,tls,crypto", _STREAM_FORMATS, {}),
    "https": ("https,tcp,tls,crypto", _STREAM_FORMATS, {}),
    "srt": ("srt", "mpegts,matroska", {}),
    "udp": ("udp", "mpegts,rtp", {}),
}


class SourceInvalid(ValueError):
    """The text names no source that can be opened; the message says what would."""


@dataclass(frozen=True)
class Source:
    """An FFmpeg input. `text` is what it was made of, `url` and `options` go after -i and before it."""

    text: str
    url: str
    options: tuple[tuple[str, Any], ...]
    clock: bool = False

    def __str__(self) -> str:
        return masked(self.text)


def parse(text: str) -> Source:
    """A source from `test-pattern`, an absolute path, `/dev/videoN`, or an address. Raises SourceInvalid."""
    text = text.strip()
    if not text.isprintable():
        raise SourceInvalid("a source has no line breaks or control characters")
    if text == TEST_PATTERN:
        options: dict[str, Any] = {"f": "lavfi", "re": None}
        return _source(text, "testsrc2=size=960x540:rate=25", options, clock=True)
    if re.fullmatch(r"/dev/video\d+", text):
        return _source(text, text, {"f": "v4l2", "protocol_whitelist": "file"})
    path = text.removeprefix("file://").removeprefix("file:")
    if path.startswith("/"):
        return _file(text, path)
    return _address(text)


def _file(text: str, path: str) -> Source:
    whitelists = {
        "protocol_whitelist": "file",
        "format_whitelist": ",".join((*STORED_FORMATS, "mjpeg", "mpjpeg")),
    }
    return _source(text, f"file:{path}", {"re": None, "stream_loop": -1, **whitelists})


def _address(text: str) -> Source:
    try:
        parts = urlsplit(text)
        usable = bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or parts.scheme not in _NETWORK:
        schemes = ", ".join(f"{scheme}://" for scheme in _NETWORK)
        raise SourceInvalid(
            f"give {TEST_PATTERN}, the absolute path of a file or /dev/videoN, or an address: {schemes}"
        )
    protocols, formats, further = _NETWORK[parts.scheme]
    url = parts.scheme + text[len(parts.scheme) :]  # FFmpeg knows its protocols in lower case only
    return _source(text, url, {"protocol_whitelist": protocols, "format_whitelist": formats, **further})


def _source(text: str, url: str, options: dict[str, Any], *, clock: bool = False) -> Source:
    return Source(text, url, tuple(options.items()), clock)


def masked(text: str) -> str:
    """The source without a password, for lists, logs and errors. Many cameras take theirs in the query."""
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 - raises where a password with a slash makes a port of its first half
    except ValueError:
        return "(malformed address)"
    if not parts.netloc:
        return text
    _, at, host = parts.netloc.rpartition("@")
    netloc = f"***@{host}" if at else host
    return urlunsplit(parts._replace(netloc=netloc, query="***" if parts.query else ""))


def argv(executable: str, source: Source, fps: int) -> list[str]:
    """FFmpeg's command line: pictures one after another on stdout, `fps` of them a second at most."""
    video = ffmpeg.input(source.url, **dict(source.options)).video
    if source.clock:
        # %X is HH:MM:SS in the C locale: a format without colons, which would each need four backslashes.
        video = video.filter(
            "drawtext", fontfile=str(FONT), text="%{localtime:%X}", fontsize=64, fontcolor="white",
            box=1, boxcolor="black@0.6", boxborderw=16, x="(w-tw)/2", y="h-th-40",
        )  # fmt: skip
    video = video.filter("fps", fps=fps)
    output = video.output("pipe:1", f="image2pipe", vcodec="mjpeg", **{"q:v": 5, "flush_packets": 1})
    output = output.global_args("-hide_banner", "-nostdin", "-loglevel", "level+warning")
    return [str(word) for word in output.compile(cmd=executable)]

"""What a camera may be: a text an administrator gives, parsed once into a frozen value.

Each kind names the protocols and formats that FFmpeg may use for it, and no more (ffmpeg.py says why): an
address on the network must not lead to a local file, nor a file to an address. Name and password stand apart
from the address, which is shown; they are put together for FFmpeg and for nobody else (command.py).
"""

import re
from dataclasses import dataclass, field, replace
from urllib.parse import SplitResult, quote, unquote, urlsplit, urlunsplit

from mediastream.ffmpeg import STORED_FORMATS

TEST_PATTERN = "test-pattern"
_HTTP_FORMATS = "mpegts,flv,live_flv,mov,matroska,ogg,avi,mjpeg,h264,hevc"
# RFC 8216 section 3: transport streams, fragmented MP4, packed audio, subtitles.
_HLS_FORMATS = "hls,mpegts,mov,aac,ac3,eac3,mp3,webvtt"


@dataclass(frozen=True)
class Kind:
    """`protocols`, `formats`: FFmpeg's; `options`: of its input; `named`: whether it takes a name and password."""

    name: str
    protocols: str
    formats: str
    options: tuple[tuple[str, str], ...] = ()
    named: bool = False

    @property
    def by_tls(self) -> bool:
        return "tls" in self.protocols.split(",")

    @property
    def by_http(self) -> bool:
        return self.name in ("HTTP", "HTTPS")


TEST = Kind("test pattern", "", "lavfi")
FILE = Kind("file", "file", ",".join((*STORED_FORMATS, "mjpeg", "mpjpeg")))
DEVICE = Kind("video device", "file", "v4l2")
# By UDP, packets are lost behind routers, and pictures arrive in halves.
_RTSP = (("rtsp_transport", "tcp"),)
# FLV from a server says that there is sound, whether there is or not, and FFmpeg would wait five seconds for it.
_RTMP = (("analyzeduration", "1000000"),)
NETWORK = {
    "rtsp": Kind("RTSP", "tcp", "rtsp", _RTSP, named=True),
    "rtsps": Kind("RTSPS", "tls,tcp", "rtsp", _RTSP, named=True),
    "rtmp": Kind("RTMP", "rtmp,tcp", "flv,live_flv", _RTMP, named=True),
    "rtmps": Kind("RTMPS", "rtmps,tls,tcp", "flv,live_flv", _RTMP, named=True),
    "http": Kind("HTTP", "http,https,tls,tcp", _HTTP_FORMATS, named=True),
    "https": Kind("HTTPS", "https,tls,tcp", _HTTP_FORMATS, named=True),
    "srt": Kind("SRT", "srt", "mpegts"),
    "udp": Kind("UDP", "udp", "mpegts"),
}
# Playlists name further addresses, and keys: on the network only, and never a file.
HLS = {
    "http": Kind("HLS", "http,https,tls,tcp,crypto", _HLS_FORMATS, named=True),
    "https": Kind("HLS by TLS", "https,tls,tcp,crypto", _HLS_FORMATS, named=True),
}


class SourceInvalid(ValueError):
    """The text names no source that can be opened; the message says what would."""


@dataclass(frozen=True)
class Source:
    """`text`: what it was made of, `url`: for FFmpeg; both without name and password."""

    text: str
    kind: Kind
    url: str
    username: str = ""
    password: str = field(default="", repr=False)

    def __str__(self) -> str:
        return masked(self.text)

    @property
    def address(self) -> str:
        """The URL with name and password: for FFmpeg's eyes only."""
        if not (self.username or self.password):
            return self.url
        parts = urlsplit(self.url)
        # RFC 3986 section 3.2.1; FFmpeg's RTMP does not decode them, so what may stand there does.
        name, password = (quote(word, safe="!$&'()*+,;=") for word in (self.username, self.password))
        return urlunsplit(parts._replace(netloc=f"{name}:{password}@{parts.netloc}"))

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not be shown of it, in the forms in which FFmpeg may say it."""
        words = (self.password, quote(self.password, safe="!$&'()*+,;="))
        return tuple(word for word in words if len(word) > 2)

    @property
    def scheme(self) -> str:
        return urlsplit(self.url).scheme

    def as_hls(self) -> "Source":
        """The same address, where it turned out to be a playlist."""
        return replace(self, kind=HLS[self.scheme])


def parse(text: str, username: str = "", password: str = "") -> Source:
    """A source from `test-pattern`, an absolute path, `/dev/videoN`, or an address. Raises SourceInvalid.

    A name and password within the address are taken out of it, and used if none are given beside it.
    """
    text, *within = split(text.strip())
    if not (username or password):
        username, password = within
    if not (text + username + password).isprintable():
        raise SourceInvalid("a source has no line breaks or control characters")
    if ":" in username:
        raise SourceInvalid("a name at a source has no colon")  # RFC 7617 section 2: the password begins there
    source = _parse(text)
    if (username or password) and not source.kind.named:
        raise SourceInvalid(f"a {source.kind.name} takes no name and password")
    return replace(source, username=username, password=password)


def _parse(text: str) -> Source:
    if text == TEST_PATTERN:
        return Source(text, TEST, text)
    if re.fullmatch(r"/dev/video\d+", text):
        return Source(text, DEVICE, text)
    path = text.removeprefix("file://").removeprefix("file:")
    if path.startswith("/"):
        return Source(text, FILE, f"file:{path}")
    parts = _parts(text)
    if parts is None or not parts.hostname or parts.scheme not in NETWORK:
        schemes = ", ".join(f"{scheme}://" for scheme in NETWORK)
        raise SourceInvalid(
            f"give {TEST_PATTERN}, the absolute path of a file or /dev/videoN, or an address: {schemes}"
        )
    url = parts.scheme + text[len(parts.scheme) :]  # FFmpeg knows its protocols in lower case only
    return Source(text, NETWORK[parts.scheme], url)


def _parts(text: str) -> SplitResult | None:
    """None for what is no address: where a password with a slash makes a port of its first half, too."""
    try:
        parts = urlsplit(text)
        return parts if parts.port != 0 else None
    except ValueError:
        return None


def split(text: str) -> tuple[str, str, str]:
    """The source without name and password, the name, and the password."""
    parts = _parts(text)
    if parts is None or "@" not in parts.netloc or parts.netloc not in text:  # urlsplit drops line breaks
        return text, "", ""
    said, _, host = parts.netloc.rpartition("@")
    name, _, password = said.partition(":")
    start = text.index(parts.netloc)
    return text[:start] + host + text[start + len(parts.netloc) :], unquote(name), unquote(password)


def masked(text: str) -> str:
    """The source without what may be secret, for lists, logs and errors. Many cameras take their password in
    the query, and an RTMP server its key as the last part of the path."""
    parts = _parts(text)
    if parts is None:
        return "(malformed address)"
    if not parts.netloc:
        return text
    _, at, host = parts.netloc.rpartition("@")
    path = parts.path
    if parts.scheme in ("rtmp", "rtmps") and path.count("/") > 1:
        path = path[: path.rindex("/") + 1] + "***"
    netloc = f"***@{host}" if at else host
    return urlunsplit(parts._replace(netloc=netloc, path=path, query="***" if parts.query else ""))

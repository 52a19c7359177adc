"""Which FFmpeg runs, what it may open, and what its last words mean.

FFmpeg opens what a file *says* as well as what it is: with the protocol alone whitelisted, FFmpeg 5.1
opened a second file through an HLS playlist and a concat script that were named `.mp4`. So every input
gets a protocol whitelist and a format (demuxer) whitelist, and a path always goes in as an absolute
`file:` URL, so that no name can be taken for an option or another protocol.
"""

import re
import shutil
from functools import cache
from pathlib import Path

import imageio_ffmpeg

# Demuxers of self-contained files: none of these opens another file or address.
STORED_FORMATS = (
    "mov", "matroska", "avi", "mpegts", "mpeg", "mpegvideo", "m4v", "flv", "ogg", "wav", "w64", "mp3", "flac",
    "aac", "ac3", "eac3", "amr", "aiff", "asf", "mxf", "ivf", "h264", "hevc", "dv", "nut", "wtv", "rm", "caf", "au",
)  # fmt: skip


class FFmpegMissing(RuntimeError):
    """There is no FFmpeg to run; the text says how to get one."""


@cache
def executable(preferred: str | None = None) -> str:
    """The path of FFmpeg: the one asked for, else the system's, else the one inside imageio-ffmpeg."""
    if preferred:
        found = shutil.which(preferred)
        if found is None:
            raise FFmpegMissing(f"MEDIASTREAM_FFMPEG={preferred} is not a program that can be run")
        return found
    return shutil.which("ffmpeg") or _bundled()


def _bundled() -> str:
    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError:
        raise FFmpegMissing("no FFmpeg: install it with your package manager, or set MEDIASTREAM_FFMPEG") from None


def stored_input(path: Path) -> tuple[str, dict[str, str]]:
    """URL and input options for a stored file. Raises ValueError for a relative path."""
    if not path.is_absolute():
        raise ValueError(f"{path} is not absolute")
    return f"file:{path}", {"protocol_whitelist": "file", "format_whitelist": ",".join(STORED_FORMATS)}


# "[mov,mp4 @ 0x55d0]" and the level name that -loglevel level+error puts before a line.
_PREFIX = re.compile(r"^(?:\[[^\]]*\] ?)+")
# A path may have spaces: it ends where FFmpeg says ": why", or with the line. A password may have an @.
_URL = re.compile(r"\b(?:file:/(?:.*(?=: )|.*)|(\w+)://(?:[^/\s]*@)?([^/\s?]+)\S*)")


def cleaned(line: str) -> str:
    """One line of FFmpeg's, fit for a person: without addresses of memory, local paths or credentials."""
    return _URL.sub(lambda m: f"{m[1]}://{m[2]}" if m[1] else "the file", _PREFIX.sub("", line)).strip()


def last_words(stderr: str, lines: int = 2) -> str:
    """What FFmpeg said last, fit for a person."""
    said: list[str] = []
    for line in stderr.splitlines():
        text = cleaned(line)
        if text and text not in said:
            said.append(text)
    return "; ".join(said[-lines:]) or "FFmpeg said nothing"

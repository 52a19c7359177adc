"""FFmpeg command lines as data: intent in, argv out. Nothing here runs anything.

Each odd flag has its reason beside it. The flags are those FFmpeg 5.1 and 9 share.
"""

from pathlib import Path
from typing import Any

import ffmpeg

from mediastream.ffmpeg import stored_input
from transcode.profiles import Profile

# No console, nothing read from stdin (a q on it would end the encode), and levels named on each line.
GLOBAL = ("-hide_banner", "-nostdin", "-loglevel", "level+error")


def progressive(
    executable: str, path: Path, profile: Profile, start: float, *, video: int | None, audio: int | None
) -> list[str]:
    """A fragmented MP4 from `start` seconds on, to stdout. `video`, `audio`: which streams, by their index."""
    source = _open(path, start)
    streams = []
    options: dict[str, Any] = {}
    if video is not None:
        streams.append(scaled(source[str(video)], profile.height))
        options |= _video_options(profile)
    if audio is not None:
        streams.append(source[str(audio)])
        options |= {"acodec": "aac", "audio_bitrate": profile.audio_bitrate, "ac": 2}
    output = ffmpeg.output(*streams, "pipe:1", **options, **_fragmented())
    return compiled(output, executable)


def poster(executable: str, path: Path, at: float, width: int, *, video: int) -> list[str]:
    """One JPEG of stream `video` at `at` seconds, `width` pixels wide, to stdout."""
    source = _open(path, at)
    # The thumbnail filter takes the most typical of 25 pictures, which is seldom a black one. It holds all
    # of them, so they are made small first.
    picture = source[str(video)].filter("scale", w=width, h=-2).filter("thumbnail", n=25)
    output = picture.output("pipe:1", vframes=1, f="image2pipe", vcodec="mjpeg", **{"q:v": 4})
    return compiled(output, executable)


def _open(path: Path, start: float) -> Any:
    url, options = stored_input(path)
    # Before -i it seeks by the index, to the exact picture as all is decoded anyway; after it, by decoding.
    return ffmpeg.input(url, **({"ss": f"{start:.3f}"} if start > 0 else {}), **options)


def scaled(video: Any, height: int) -> Any:
    """At most `height` lines of 4:2:0 with square pixels."""
    # min() never blows up; -2 keeps the ratio with an even width, which 4:2:0 needs; so does trunc(/2)*2.
    scaled = video.filter("scale", w=-2, h=f"trunc(min({height},ih)/2)*2")
    # Non-square pixels would be shown too narrow by players that ignore the MP4's own ratio.
    return scaled.filter("setsar", sar=1).filter("format", pix_fmts="yuv420p")


def _video_options(profile: Profile) -> dict[str, Any]:
    return {
        "vcodec": "libx264",
        "preset": "veryfast",
        "video_bitrate": profile.video_bitrate,
        "maxrate": profile.video_bitrate,
        "bufsize": 2 * profile.video_bitrate,
        # A key frame every two seconds starts a fragment: what a player waits for at a start or seek.
        "force_key_frames": "expr:gte(t,n_forced*2)",
        # The first picture leaves at once instead of after forty frames of lookahead.
        "tune": "zerolatency",
    }


def _fragmented() -> dict[str, Any]:
    return {
        "f": "mp4",
        # No index can be written at a pipe's start: an empty one, then fragments that stand alone.
        "movflags": "frag_keyframe+empty_moov+default_base_moof",
        # Half a second at most in one fragment, so that the first is soon whole.
        "frag_duration": 500_000,
        # Chapters and data tracks have no meaning here and stop some players.
        "map_chapters": -1,
        "map_metadata": -1,
        "dn": None,
        "sn": None,
    }


def compiled(output: Any, executable: str) -> list[str]:
    """Words of the command line."""
    return [str(word) for word in output.global_args(*GLOBAL).compile(cmd=executable)]

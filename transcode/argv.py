"""FFmpeg command lines as data: intent in, argv out. Nothing here runs anything.

Each odd flag has its reason beside it. The flags are those FFmpeg 5.1 and 9 share.
"""

from pathlib import Path
from typing import Any

import ffmpeg

from mediastream.ffmpeg import stored_input
from transcode.encoders import SOFTWARE, Encoder
from transcode.profiles import PROFILES, Profile

# No console, nothing read from stdin (a q on it would end the encode), and levels named on each line.
GLOBAL = ("-hide_banner", "-nostdin", "-loglevel", "level+error")


def progressive(
    executable: str,
    path: Path,
    profile: Profile,
    start: float,
    *,
    video: int | None,
    audio: int | None,
    encoder: Encoder = SOFTWARE,
) -> list[str]:
    """A fragmented MP4 from `start` seconds on, to stdout. `video`, `audio`: which streams, by their index."""
    source = _open(path, start)
    streams = []
    options: dict[str, Any] = {}
    if video is not None:
        streams.append(handed(scaled(source[str(video)], profile.height), encoder))
        options |= _video_options(profile, encoder)
    if audio is not None:
        streams.append(source[str(audio)])
        options |= {"acodec": "aac", "audio_bitrate": profile.audio_bitrate, "ac": 2}
    output = ffmpeg.output(*streams, "pipe:1", **options, **_fragmented())
    return compiled(output, executable, *(encoder.device if video is not None else ()))


def trial(executable: str, encoder: Encoder) -> list[str]:
    """One black picture, encoded as a stream would be, and thrown away."""
    # 320 by 240: hardware has least sizes, NVENC 145 by 49.
    black = handed(ffmpeg.input("color=black:size=320x240:rate=25", f="lavfi"), encoder)
    options = _video_options(PROFILES["360p"], encoder)
    return compiled(ffmpeg.output(black, "pipe:1", vframes=1, f="null", **options), executable, *encoder.device)


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


def handed(video: Any, encoder: Encoder) -> Any:
    """In the pixels, and the memory, that the encoder takes."""
    pictures = video if encoder.pixels == "yuv420p" else video.filter("format", pix_fmts=encoder.pixels)
    return pictures.filter("hwupload") if encoder.upload else pictures


def _video_options(profile: Profile, encoder: Encoder) -> dict[str, Any]:
    return {
        "vcodec": encoder.codec,
        **dict(encoder.options + encoder.prompt),
        **profile.effort(encoder),
        "video_bitrate": profile.video_bitrate,
        "maxrate": profile.video_bitrate,
        "bufsize": 2 * profile.video_bitrate,
        # A key frame every two seconds starts a fragment: what a player waits for at a start or seek.
        "force_key_frames": "expr:gte(t,n_forced*2)",
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


def compiled(output: Any, executable: str, *device: str) -> list[str]:
    """Words of the command line. `device`: global options that open one."""
    return [str(word) for word in output.global_args(*device, *GLOBAL).compile(cmd=executable)]

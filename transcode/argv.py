"""FFmpeg command lines as data: intent in, argv out. Nothing here runs anything.

Each odd flag has its reason beside it. The flags are those FFmpeg 5.1 and 9 share.
"""

from pathlib import Path
from typing import Any

import ffmpeg

from mediastream.ffmpeg import stored_input
from transcode.encoders import SOFTWARE, Encoder
from transcode.profiles import PROFILES, Profile

SHIFT = 0.003  # seconds by which all of a stream is late, so that nothing of it lies before 0
FOURCC = {"h264": "avc1", "hevc": "hvc1"}  # of copied video: Safari wants parameter sets outside the pictures
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
    copied: str = "",
    copies_audio: bool = False,
    x264: int | None = None,
) -> list[str]:
    """A fragmented MP4 from `start` seconds on, to stdout. `video`, `audio`: which streams, by their index.

    `copied`: the codec of video that is copied; "": it is encoded. `x264`: which version made what is decoded, where
    FFmpeg has to be told.
    """
    source = _open(path, start, **({} if x264 is None else {"x264_build": x264}))
    streams = []
    options: dict[str, Any] = {}
    encodes = video is not None and not copied
    if video is not None:
        streams.append(handed(scaled(source[str(video)], profile.height), encoder) if encodes else source[str(video)])
        options |= _video_options(profile, encoder) if encodes else _copied_video(copied)
    if audio is not None:
        streams.append(source[str(audio)])
        options |= _sound_options(profile, copies_audio)
    output = ffmpeg.output(*streams, "pipe:1", **options, **_fragmented())
    return compiled(output, executable, *(encoder.device if encodes else ()))


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


def _open(path: Path, start: float, **options: Any) -> Any:
    url, safe = stored_input(path)
    # Before -i it seeks by the index, to the exact picture of what is decoded; after it, by decoding.
    return ffmpeg.input(url, **options, **({"ss": f"{start:.3f}"} if start > 0 else {}), **safe)


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


def _copied_video(codec: str) -> dict[str, Any]:
    """It begins with the keyframe before `start`, from which on it must be decoded. That takes no time: what lies
    before 0 shrinks to a ten-thousandth, so that the picture of `start` is shown at 0.

    An edit list would say the same, but in fragmented MP4 hardly a player honours it. Times of decoding below 0, which
    pictures out of their order have, shrink, too; microseconds still give each picture a time of its own.
    """
    shrunk = "setts=pts='if(lt(PTS,0),PTS/10000,PTS)':dts='if(lt(DTS,0),DTS/10000,DTS)'"
    return {"vcodec": "copy", "vtag": FOURCC.get(codec, codec), "time_base:v": "1:1000000", "bsf:v": shrunk}


def _sound_options(profile: Profile, copied: bool) -> dict[str, Any]:
    """Nothing from before `start` is heard: neither packets since the keyframe, nor what an encoder says first."""
    if copied:
        return {"acodec": "copy", "copypriorss:a": 0}
    return {"acodec": "aac", "audio_bitrate": profile.audio_bitrate, "ac": 2, "bsf:a": "noise=drop='lt(pts,0)'"}


def _fragmented() -> dict[str, Any]:
    return {
        "f": "mp4",
        # No index can be written at a pipe's start: an empty one, then fragments that stand alone and say their time,
        # so that sound and video which do not begin together stay where they are.
        "movflags": "frag_keyframe+empty_moov+default_base_moof+frag_discont",
        "use_editlist": 0,
        "output_ts_offset": SHIFT,
        "avoid_negative_ts": "make_non_negative",
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

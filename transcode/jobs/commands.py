"""FFmpeg command lines of jobs, as data: intent in, argv out. Flags that FFmpeg 5.1 and 9 share.

All write to files of ours and tell their progress on stdout.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ffmpeg

from mediastream.ffmpeg import stored_input
from transcode import hls_argv
from transcode.argv import compiled, handed
from transcode.encoders import SOFTWARE, Encoder
from transcode.profiles import Profile
from transcode.sprites import COLUMNS, ROWS, Layout

PROGRESS = ("-y", "-progress", "pipe:1")
SPRITE = "%d.jpg"


def thumbnails(executable: str, path: Path, folder: Path, video: int, layout: Layout) -> list[str]:
    """Sprites 0.jpg, 1.jpg … in `folder`, from the key frames of stream `video`."""
    # skip_frame: the decoder leaves out all but key frames; discard: MP4 does not even read the others.
    url, options = stored_input(path)
    source = ffmpeg.input(url, skip_frame="nokey", discard="nokey", **options)
    picture = (
        source[str(video)]
        # One picture for each interval, the last key frame again where there is no newer one; to the end, though
        # that may lie far behind the last of them.
        .filter("fps", fps=f"1/{layout.interval:.6f}", start_time=0, eof_action="pass")
        .filter("tpad", stop=layout.count, stop_mode="clone")
        .filter("scale", w=layout.width, h=layout.height)
        .filter("setsar", sar=1)
        .filter("tile", layout=f"{COLUMNS}x{ROWS}")
    )
    output = picture.output(
        f"file:{folder / SPRITE}", f="image2", vcodec="mjpeg", vframes=layout.sprites, start_number=0, **{"q:v": 5}
    )
    return compiled(output, executable, *PROGRESS)


def subtitles(executable: str, path: Path, folder: Path, streams: Sequence[int]) -> list[str]:
    """The text streams as 2.vtt, 3.vtt … in `folder`, by their index in the file."""
    targets = {stream: f"file:{folder / f'{stream}.vtt'}" for stream in streams}
    return hls_argv.subtitles(executable, path, targets, *PROGRESS)


def remux(executable: str, path: Path, target: Path, streams: Sequence[int], *, hevc: bool, text: bool) -> list[str]:
    """The same streams, by their index in the file, as MP4 with its index in front. `hevc`: one is; `text`: so are
    subtitles."""
    url, options = stored_input(path)
    # AVI and MPEG-TS give no presentation times for some frames, without which MP4 cannot be written.
    source = ffmpeg.input(url, fflags="+genpts", **options)
    # Safari plays HEVC under this tag only.
    tags = {"tag:v": "hvc1"} if hevc else {}
    kept = {"c": "copy", **({"c:s": "mov_text"} if text else {}), **tags}
    return compiled(_mp4([source[str(index)] for index in streams], target, kept), executable, *PROGRESS)


def encode(
    executable: str,
    path: Path,
    target: Path,
    profile: Profile,
    video: int | None,
    audio: Sequence[int],
    text: Sequence[int] = (),
    encoder: Encoder = SOFTWARE,
) -> list[str]:
    """H.264 in 8 bit 4:2:0 and AAC, which every browser plays, in the size it has. `text`: subtitles to be kept."""
    url, options = stored_input(path)
    source = ffmpeg.input(url, **options)
    streams = [source[str(index)] for index in audio]
    chosen: dict[str, Any] = {"c:a": "aac", "b:a": profile.audio_bitrate, "ac": 2}
    if video is not None:
        even = source[str(video)].filter("scale", w="trunc(iw/2)*2", h="trunc(ih/2)*2")
        streams.insert(0, handed(even.filter("format", pix_fmts="yuv420p"), encoder))
        chosen |= _kept(profile, encoder)
    if text:
        streams += [source[str(index)] for index in text]
        chosen |= {"c:s": "mov_text"}
    device = encoder.device if video is not None else ()
    return compiled(_mp4(streams, target, chosen), executable, *device, *PROGRESS)


def _kept(profile: Profile, encoder: Encoder) -> dict[str, Any]:
    capped = {"maxrate": profile.video_bitrate, "bufsize": 2 * profile.video_bitrate} if profile.video_bitrate else {}
    return {
        "c:v": encoder.codec,
        **dict(encoder.options + encoder.quality),
        **profile.effort(encoder),
        **capped,
        # A key frame every two seconds: what a seek, or a segment, begins with.
        "force_key_frames": "expr:gte(t,n_forced*2)",
    }


def _mp4(streams: list[Any], target: Path, options: dict[str, Any]) -> Any:
    return ffmpeg.output(
        *streams,
        f"file:{target}",
        f="mp4",
        # The index goes to the front when all is written, so that a player has it with the first bytes.
        movflags="+faststart",
        # Streams that begin late would otherwise stop it with a full queue.
        max_muxing_queue_size=4096,
        dn=None,
        **options,
    )

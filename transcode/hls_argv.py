"""FFmpeg's command lines for HLS: one stream of a file, from one segment on, as fragmented MP4 to stdout. Pure.

Times are those of the file (-copyts), from its own start (-start_at_zero), so that it does not matter where a run
begins. SHIFT is added, as an encoder's first packet lies before its first sample, and tfdt knows nothing below 0;
the cutter (cutter.py) takes it away again.
"""

from pathlib import Path
from typing import Any

import ffmpeg

from mediastream.ffmpeg import stored_input
from transcode.argv import compiled, scaled
from transcode.layout import PACKET, SOUND_RATE
from transcode.renditions import SOUND_BITRATE, Rendition

SHIFT = 16  # seconds
RUN = 2000  # segments of one run at most: an hour, and as many times as fit in an argument
CLOCK = 90_000  # ticks a second of encoded video, as MPEG has them: every usual rate is a whole number of them
WARM = 4  # packets of sound that are encoded and thrown away: the first hears nothing of what was before it
SPARSE = 8.0  # pictures a second; slower video would leave segments without any
_FOURCC = {"h264": "avc1", "hevc": "hvc1"}


def segments(
    executable: str, path: Path, rendition: Rendition, first: int, codec: str, rate: float | None
) -> list[str]:
    """`first`: the segment to begin with; `codec`, `rate`: of the source's stream, as probed."""
    if rendition.kind == "audio":
        output = _copy(path, rendition, first) if rendition.copied else _sound(path, rendition, first)
    elif rendition.copied:
        output = _copy(path, rendition, first, vtag=_FOURCC.get(codec, codec))
    else:
        output = _video(path, rendition, first, rate)
    return compiled(output, executable)


def _open(path: Path, start: float, **options: Any) -> Any:
    url, safe = stored_input(path)
    # Timestamps are global options for FFmpeg, but where it finds them does not matter.
    times = {"copyts": None, "start_at_zero": None, **({"ss": f"{start:.6f}"} if start > 0 else {})}
    return ffmpeg.input(url, **options, **times, **safe)


def _copy(path: Path, rendition: Rendition, first: int, **options: Any) -> Any:
    # A millisecond late, as times are rounded; it begins with the keyframe before.
    start = rendition.layout.starts[first]
    source = _open(path, start + 0.001 if start else 0.0)
    return ffmpeg.output(source[str(rendition.stream)], "pipe:1", c="copy", **options, **_muxed(rendition))


def _video(path: Path, rendition: Rendition, first: int, rate: float | None) -> Any:
    profile = rendition.profile
    assert profile is not None
    early = rendition.layout.early
    cuts = [start - early for start in rendition.layout.starts[first : first + RUN]]
    known = {} if rendition.x264 is None else {"x264_build": rendition.x264}
    source = _open(path, max(cuts[0], 0.0), **known)
    picture = scaled(source[str(rendition.stream)], profile.height)
    if rate is None or rate < SPARSE:
        picture = picture.filter("fps", fps=10)
    return ffmpeg.output(
        picture, "pipe:1", vcodec="libx264", preset=profile.preset, crf=21,
        # Pictures it looks ahead of the one it writes: a segment is whole so much later. Of more it makes little use.
        **{"rc-lookahead": 5},
        maxrate=profile.video_bitrate, bufsize=2 * profile.video_bitrate,
        # Without pictures out of their order, decoding and presentation are one time.
        bf=0,
        # Keyframes of its own choice would do no harm, but cost bits; the cuts are near enough to each other.
        sc_threshold=0, g=1000,
        force_key_frames=",".join(f"{max(cut, 0.0):.6f}" for cut in cuts),
        # Each picture keeps its own time: FFmpeg would else round them all to a guessed rate.
        fps_mode="passthrough", enc_time_base=f"1:{CLOCK}", video_track_timescale=CLOCK,
        **_muxed(rendition),
    )  # fmt: skip


def _sound(path: Path, rendition: Rendition, first: int) -> Any:
    """On one grid of packets wherever it begins, so that segments of two runs fit together to the sample."""
    begin = round(rendition.layout.starts[first] * SOUND_RATE / PACKET) * PACKET
    heard = max(begin - WARM * PACKET, 0)
    end = round(rendition.layout.end * SOUND_RATE)
    source = _open(path, max(heard / SOUND_RATE - 0.5, 0.0))
    # async=1 makes silence of what is missing, first_pts at the beginning, too; apad at the end. first_pts counts
    # samples of what comes in, hence in two steps.
    sound = source[str(rendition.stream)].filter("aresample", SOUND_RATE)
    sound = (
        sound.filter("aresample", **{"async": 1, "first_pts": heard})
        .filter("apad")
        .filter("atrim", end_pts=max(end, heard + PACKET))
    )
    return ffmpeg.output(
        sound, "pipe:1", acodec="aac", ac=2, audio_bitrate=SOUND_BITRATE, **_muxed(rendition)
    )  # fmt: skip


def _muxed(rendition: Rendition) -> dict[str, Any]:
    # A fragment for each keyframe; of sound, in which each packet is one, for each half second.
    flags = "empty_moov+default_base_moof+frag_discont" + ("+frag_keyframe" if rendition.kind == "video" else "")
    return {
        "f": "mp4",
        "movflags": flags,
        **({"frag_duration": 500_000} if rendition.kind == "audio" else {}),
        # frag_discont without an edit list: the first fragment says its true time.
        "use_editlist": 0,
        # The end of a fragment would else wait in FFmpeg's buffer for the next to push it out.
        "flush_packets": 1,
        "avoid_negative_ts": "disabled",
        "output_ts_offset": SHIFT,
        "map_chapters": -1,
        "map_metadata": -1,
    }


def subtitles(executable: str, path: Path, stream: int) -> list[str]:
    """One text stream as WebVTT to stdout, in the times of the file."""
    source = _open(path, 0.0)
    return compiled(ffmpeg.output(source[str(stream)], "pipe:1", f="webvtt", map_metadata=-1), executable)

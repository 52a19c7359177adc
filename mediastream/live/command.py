"""FFmpeg's command line for a source, purely.

The arguments of a process are everybody's to read on its machine, and the address of a camera often holds a
secret: a password, a token in its query, a stream's key. FFmpeg takes no such thing by another way, except
one: an ffconcat script, which it reads from its standard input. So each address on the network goes in as
such a script of one line, its own whitelists as options of that line: these replace those of the script's
reader, so that `concat` is not among what the address may turn out to be.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ffmpeg

from mediastream.live.sources import DEVICE, FILE, TEST, Source
from mediastream.live.terms import Terms

FONT = Path(__file__).resolve().parent / "fonts" / "DejaVuSansMono.ttf"
MAX_PIXELS = 64 * 1024 * 1024  # of a picture: FFmpeg would believe, and allot, what a header says


@dataclass(frozen=True)
class Command:
    """`stdin`: the script, for a source on the network."""

    argv: tuple[str, ...]
    stdin: bytes | None = None


def command(executable: str, source: Source, terms: Terms, *, copy: bool, recorded: bool = False) -> Command:
    """Pictures one after another on stdout: `copy` as they come, else `terms.fps` of them a second at most.

    `recorded`: the address gives a file, or pieces of some seconds, and must be read at its own pace.
    """
    video = _input(source, terms, copy=copy, recorded=recorded)["v:0"]
    output = _copied(video) if copy else _encoded(video, source, terms)
    output = output.global_args("-hide_banner", "-nostdin", "-nostats", "-loglevel", "level+info")
    script = _script(source, terms) if source.kind not in (TEST, FILE, DEVICE) else None
    return Command(tuple(str(word) for word in output.compile(cmd=executable)), script)


def _copied(video: Any) -> Any:
    return video.output("pipe:1", f="mjpeg", vcodec="copy", flush_packets=1)


def _encoded(video: Any, source: Source, terms: Terms) -> Any:
    if source.kind is TEST:
        video = _clock(video)
    else:
        video = _no_more_than(video, terms.fps)
        if terms.size:
            video = _no_larger_than(video, terms.size)
    # Passed through as they come: FFmpeg would else repeat pictures for a constant rate, and a frozen picture
    # must not look like a moving one.
    return video.output(
        "pipe:1", f="image2pipe", vcodec="mjpeg", fps_mode="passthrough",
        **{"q:v": terms.quality, "flush_packets": 1},
    )  # fmt: skip


def _input(source: Source, terms: Terms, *, copy: bool, recorded: bool) -> Any:
    kind = source.kind
    whitelists = {"protocol_whitelist": kind.protocols, "format_whitelist": kind.formats}
    if kind is TEST:
        made = f"testsrc2=size={terms.size or '960x540'}:rate={terms.fps}"
        return ffmpeg.input(made, f="lavfi", re=None)
    if kind is FILE:
        return ffmpeg.input(source.url, re=None, stream_loop=-1, max_pixels=MAX_PIXELS, **whitelists)
    if kind is DEVICE:
        size: dict[str, Any] = (
            {"video_size": terms.size.split("x")} if terms.size else {}
        )  # ffmpeg-python wants the pair
        if copy:
            size["input_format"] = "mjpeg"
        return ffmpeg.input(source.url, f="v4l2", protocol_whitelist=kind.protocols, framerate=terms.fps, **size)
    script: dict[str, Any] = {"f": "concat", "safe": 0, "protocol_whitelist": "pipe", "format_whitelist": "concat"}
    if recorded:
        script["re"] = None
    return ffmpeg.input("pipe:0", max_pixels=MAX_PIXELS, **script)


def _script(source: Source, terms: Terms) -> bytes:
    kind = source.kind
    options = [("protocol_whitelist", kind.protocols), ("format_whitelist", kind.formats), *kind.options]
    if kind.by_tls:
        options.append(("tls_verify", "0" if terms.any_certificate else "1"))
    quoted = source.address.replace("'", r"'\''")  # av_get_token(): nothing else is special between quotes
    lines = ["ffconcat version 1.0", f"file '{quoted}'", *(f"option {name} {value}" for name, value in options)]
    return "\n".join([*lines, ""]).encode()


def _clock(video: Any) -> Any:
    # %X is HH:MM:SS in the C locale: a format without colons, which would each need four backslashes.
    return video.filter(
        "drawtext", fontfile=str(FONT), text="%{localtime:%X}", fontsize=64, fontcolor="white",
        box=1, boxcolor="black@0.6", boxborderw=16, x="(w-tw)/2", y="h-th-40",
    )  # fmt: skip


def _no_more_than(video: Any, fps: int) -> Any:
    """Leave pictures out, repeat none. ld(0) is when the next one is due; one that comes up to half an interval
    early is let through, so that a jitter costs none, and when time jumps back the count starts anew."""
    interval, due = 1 / fps, "ld(0)"
    early, back = f"{due}-{interval / 2:.6f}", f"{due}-{3 * interval:.6f}"
    following = f"if(lt(t,{back}),t+{interval:.6f},max({due}+{interval:.6f},t))"
    return video.filter("select", f"if(isnan(t)+gte(t,{early})+lt(t,{back}),1+0*st(0,{following}),0)")


def _no_larger_than(video: Any, size: str) -> Any:
    """Smaller in its own proportions, never larger; even, as JPEG's colours are halved."""
    width, height = size.split("x")
    return video.filter(
        "scale", w=f"min({width},iw)", h=f"min({height},ih)",
        force_original_aspect_ratio="decrease", force_divisible_by=2,
    )  # fmt: skip

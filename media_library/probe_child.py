"""The probe itself: opens one file with PyAV and prints what is in it as JSON.

Run as a child by probe.py, with limits on time and memory, as demuxers are where hostile files bite.
Exit code 3 with a sentence on stdout: the file is not media we take; anything else but 0: the probe failed.
"""

import json
import os
import sys
from typing import Any

import av

REFUSED = 3
MOST_PIXELS = 8192 * 8192
WEBM = {"vp8", "vp9", "av1", "vorbis", "opus"}
TYPES = {
    "avi": "video/x-msvideo", "mpegts": "video/mp2t", "mpeg": "video/mpeg", "flv": "video/x-flv", "wav": "audio/wav",
    "mp3": "audio/mpeg", "flac": "audio/flac", "aac": "audio/aac", "asf": "video/x-ms-asf", "mxf": "application/mxf",
    "ac3": "audio/ac3", "aiff": "audio/aiff", "amr": "audio/amr",
}  # fmt: skip
CODECS = {
    "aac": "mp4a.40.2", "vp8": "vp8", "vp9": "vp09.00.10.08", "av1": "av01.0.04M.08", "hevc": "hvc1.1.6.L93.B0",
    "vorbis": "vorbis", "opus": "opus", "flac": "flac", "mp3": "mp3", "ac3": "ac-3", "eac3": "ec-3", "pcm_s16le": "1",
}  # fmt: skip


class Refused(Exception):
    """The file is not media we take; the text says why."""


def probe(path: str, formats: str) -> dict[str, Any]:
    try:
        container = av.open(f"file:{path}", options={"protocol_whitelist": "file", "format_whitelist": formats})
    except (av.error.InvalidDataError, av.error.EOFError, av.error.ArgumentError) as fault:
        raise Refused(f"it is damaged, or not a video or audio file ({fault.strerror})") from None
    with container:
        streams = [describe(container, stream) for stream in container.streams]
        if not any(stream["kind"] in ("video", "audio") for stream in streams):
            raise Refused("there is neither video nor sound in it")
        check_whole(container, os.path.getsize(path))
        check_size(streams)
        duration = container.duration / av.time_base if container.duration and container.duration > 0 else None
        return {
            "container": container.format.name,
            "content_type": content_type(container, streams),
            "duration": duration,
            "streams": streams,
        }


def check_whole(container: Any, size: int) -> None:
    """An MP4 whose index points past the end was cut off: it would play to a point and stop."""
    if not container.format.name.startswith("mov"):
        return
    ends = [entries[len(entries) - 1] for stream in container.streams if len(entries := stream.index_entries)]
    needed = max((entry.pos + entry.size for entry in ends), default=0)
    if needed > size:
        raise Refused(f"it is cut off: its index needs {needed} bytes, the file has {size}")


def check_size(streams: list[dict[str, Any]]) -> None:
    """Decoding takes memory by the picture: a small file can ask for all there is."""
    for stream in streams:
        if (stream.get("width") or 0) * (stream.get("height") or 0) > MOST_PIXELS:
            raise Refused(f"its pictures of {stream['width']} by {stream['height']} are larger than can be decoded")


def describe(container: Any, stream: Any) -> dict[str, Any]:
    codec = getattr(stream, "codec_context", None)
    facts: dict[str, Any] = {
        "kind": kind_of(stream),
        "codec": codec.codec.canonical_name if codec is not None else "unknown",
        "codec_string": codec_string(codec, container.format.name) if codec is not None else "",
        "profile": str(getattr(codec, "profile", None) or ""),
        "language": stream.metadata.get("language", ""),
    }
    if facts["kind"] == "video":
        facts |= {
            "pixel_format": codec.pix_fmt or "",
            "width": codec.width,
            "height": codec.height,
            "rate": float(stream.average_rate) if stream.average_rate else None,
            "rotation": rotation(container, stream),
        }
    elif facts["kind"] == "audio":
        facts |= {"channels": codec.channels, "rate": codec.sample_rate}
    return facts


def kind_of(stream: Any) -> str:
    if stream.type == "video" and stream.disposition & av.stream.Disposition.attached_pic:
        return "picture"
    return stream.type if stream.type in ("video", "audio", "subtitle") else "data"


def rotation(container: Any, stream: Any) -> int:
    """Degrees clockwise. PyAV tells it of a decoded frame only; a file whose first frame is broken says 0."""
    try:
        frame = next(container.decode(stream))
    except (StopIteration, av.error.FFmpegError):
        return 0
    finally:
        container.seek(0)
    return -int(frame.rotation) % 360


def codec_string(codec: Any, container: str) -> str:
    """The codecs parameter of RFC 6381 and the codecs' own registrations.

    For H.264 it comes from the decoder configuration, as browsers refuse some profiles. For the others it
    names the codec with a common profile: a browser that has the codec at all says yes to it.
    """
    name = codec.codec.canonical_name
    if name == "h264":
        return avc_string(bytes(codec.extradata or b""))
    if name == "mp3" and container.startswith("mov"):
        return "mp4a.6B"
    return CODECS.get(name, "")


def avc_string(extra: bytes) -> str:
    """`avc1.` and profile, compatibility and level in hexadecimal."""
    if len(extra) >= 4 and extra[0] == 1:  # avcC, ISO 14496-15
        return f"avc1.{extra[1:4].hex()}"
    at = extra.find(b"\x00\x00\x01\x67")  # Annex B: the sequence parameter set
    return f"avc1.{extra[at + 4 : at + 7].hex()}" if at >= 0 else ""


def content_type(container: Any, streams: list[dict[str, Any]]) -> str:
    name = container.format.name.partition(",")[0]
    main = "video" if any(stream["kind"] == "video" for stream in streams) else "audio"
    codecs = {stream["codec"] for stream in streams if stream["kind"] in ("video", "audio")}
    if name == "mov":
        return "video/quicktime" if container.metadata.get("major_brand") == "qt  " else f"{main}/mp4"
    if name == "matroska":
        return f"{main}/webm" if codecs <= WEBM else f"{main}/x-matroska"
    if name == "ogg":
        return f"{main}/ogg"
    return TYPES.get(name, "application/octet-stream")


def main() -> int:
    try:
        print(json.dumps(probe(sys.argv[1], sys.argv[2])))
    except Refused as fault:
        print(fault)
        return REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(main())

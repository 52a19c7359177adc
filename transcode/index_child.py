"""A file's index, read with PyAV: where its keyframes are and how long each stream is. Nothing is decoded.

Run as a child by index.py, with limits. Prints JSON. Times are seconds from the file's own start, as FFmpeg counts
with -start_at_zero.
"""

import json
import re
import sys
from typing import Any

import av

# x264 says in its first picture which version it is. FFmpeg needs that to decode the 4:4:4 of versions before 151,
# and does not see it after a seek.
X264 = re.compile(rb"x264 - core (\d{1,4})")


def read(path: str, formats: str) -> dict[str, Any]:
    with av.open(f"file:{path}", options={"protocol_whitelist": "file", "format_whitelist": formats}) as container:
        origin = (container.start_time or 0) / av.time_base
        found: dict[str, Any] = {
            "streams": [length(stream, origin) for stream in container.streams],
            "keyframes": [],
            "x264": None,
            "delay": 0.0,
        }
        if container.streams.video:
            found |= pictures(container, container.streams.video[0], origin)
    return found


def length(stream: Any, origin: float) -> dict[str, float | None]:
    start = None if stream.start_time is None else float(stream.start_time * stream.time_base) - origin
    duration = None if stream.duration is None else float(stream.duration * stream.time_base)
    return {"start": start, "duration": duration}


def pictures(container: Any, stream: Any, origin: float) -> dict[str, Any]:
    first = next((packet for packet in container.demux(stream) if packet.pts is not None), None)
    if first is None:
        return {}
    found = X264.search(bytes(first))
    # Matroska reads its cues at the first seek.
    container.seek(container.duration or 0)
    entries = sorted(entry.timestamp for entry in stream.index_entries if entry.is_keyframe)
    base = float(stream.time_base)
    # MP4's index has times of decoding, Matroska's those of presentation: the first packet tells which.
    shift = first.pts - entries[0] if entries else 0
    return {
        "keyframes": [round((entry + shift) * base - origin, 6) for entry in entries],
        "x264": int(found[1]) if found else None,
        "delay": 0.0 if first.dts is None else max(round((first.pts - first.dts) * base, 6), 0.0),
    }


if __name__ == "__main__":
    print(json.dumps(read(sys.argv[1], sys.argv[2])))

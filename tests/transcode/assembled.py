"""What a player would put together of HLS, looked at by our own reading of the boxes."""

import itertools
import re
from dataclasses import dataclass

from django.test import Client

from mediastream.live.recording import boxes, samples
from transcode.cutter import _decode_time


@dataclass(frozen=True)
class Sample:
    """Times in seconds."""

    shown: float
    duration: float
    sync: bool


def fetch(client: Client, address: str, status: int = 200) -> bytes:
    response = client.get(address)
    content = b"".join(response) if response.streaming else response.content
    response.close()
    assert response.status_code == status, content[:300]
    return content


def addresses(text: str) -> list[str]:
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def init_address(text: str) -> str:
    match = re.search(r'#EXT-X-MAP:URI="([^"]+)"', text)
    assert match is not None
    return match[1]


def timeline(init: bytes, segments: list[bytes]) -> list[Sample]:
    """Every sample of them, in the order they are shown."""
    track = boxes.track(init)
    delay = start(init)
    found = []
    for segment in segments:
        time = _decode_time(segment)
        for duration, _, flags, shift in samples.read(segment, track).rows:
            sync = not flags & samples.NOT_SYNC
            found.append(Sample((time + shift - delay) / track.timescale, duration / track.timescale, sync))
            time += duration
    return sorted(found, key=lambda sample: sample.shown)


def start(init: bytes) -> int:
    """The time from which on the track is shown, in ticks."""
    trak = boxes.child(init, None, b"moov", b"trak")
    if all(box.kind != b"edts" for box in boxes.boxes(init, trak.content, trak.stop)):
        return 0
    [time] = boxes.unpack("i", init, boxes.child(init, trak, b"edts", b"elst"), 12)
    return time


def largest_gap(found: list[Sample]) -> float:
    """By how much a sample begins later, or earlier, than the one before ends; seconds."""
    return max(abs(b.shown - a.shown - a.duration) for a, b in itertools.pairwise(found))

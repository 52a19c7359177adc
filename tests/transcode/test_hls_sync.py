"""Picture and sound over HLS stay together as FFmpeg's players put segments together: seen and heard, not only said."""

import io
import random
from array import array
from itertools import pairwise

import av
import pytest
from django.test import Client

from tests.media import Clips
from tests.media_library.conftest import make_clip
from tests.transcode.assembled import fetch, playlist

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("fresh_hls")]
DRIFT = 0.04  # seconds: a picture
SEEKS = 10


@pytest.mark.parametrize(
    ("clip", "video", "sound"),
    [
        ("flashes.mp4", "video-copy", "audio-1-copy"),  # with pictures out of their order
        ("flashes.mp4", "video-360p", "audio-1-aac"),
        ("flashes.mkv", "video-360p", "audio-1-aac"),
    ],
)
def test_picture_and_sound_stay_together_over_ten_random_seeks(
    client: Client, clips: Clips, clip: str, video: str, sound: str
) -> None:
    base = f"/media/{make_clip(clips, clip).pk}/hls/"
    seen, heard = playlist(client, base, video), playlist(client, base, sound)
    for number in random.Random(clip + video).sample(range(1, len(seen[1]) - 1), SEEKS):
        pictures = seen[0] + fetch(client, seen[1][number])
        tones = heard[0] + fetch(client, heard[1][number])
        assert abs(first_time(pictures) - first_time(tones)) < DRIFT
        assert abs(first_time(pictures) - 2 * number) < DRIFT
        flash, tone = flash_at(pictures), tone_at(tones)
        assert abs(flash - tone) < DRIFT
        assert abs(flash - round(flash)) < DRIFT


def first_time(media: bytes) -> float:
    """Of what is shown or heard first, as FFmpeg's demuxer says it."""
    with av.open(io.BytesIO(media)) as container:
        return min(float(packet.pts * packet.time_base) for packet in container.demux() if packet.pts is not None)


def flash_at(media: bytes) -> float:
    """The time of the first white picture after a black one."""
    with av.open(io.BytesIO(media)) as container:
        found = [(frame.time, bytes(frame.planes[0])[0] > 128) for frame in container.decode(video=0)]
    return next(after[0] for before, after in pairwise(found) if after[1] and not before[1])


def tone_at(media: bytes) -> float:
    """The time of the first sample of a tone after silence."""
    begin, samples, mono = None, array("f"), av.AudioResampler("flt", "mono", 48_000)
    with av.open(io.BytesIO(media)) as container:
        for frame in container.decode(audio=0):
            begin = frame.time if begin is None else begin
            for one in mono.resample(frame):
                samples.frombytes(bytes(one.planes[0])[: 4 * one.samples])
    loud = [at for at, sample in enumerate(samples) if abs(sample) > 0.1]
    # Within a tone there are many samples close to 0; a tenth of a second of them is silence.
    onset = next(at for before, at in pairwise([0, *loud]) if at - before > 4800)
    assert begin is not None
    return float(begin + onset / 48_000)

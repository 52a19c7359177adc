"""What an encoder is given must be what was meant: the very pictures, at their times, each without the next."""

import io
import subprocess

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediastream.live import matroska
from tests.live.test_frames import make_jpegs


@pytest.fixture(scope="module")
def jpegs() -> list[bytes]:
    return make_jpegs()


def test_pyav_reads_what_was_written(jpegs: list[bytes]) -> None:
    times = [0, 7, 40, 100_000, 2**31]
    pictures = [jpegs[at % len(jpegs)] for at in range(len(times))]
    stream = matroska.opening(96, 64, 5) + b"".join(map(matroska.picture, pictures, times))
    with av.open(io.BytesIO(stream), format="matroska") as container:
        [video] = container.streams.video
        assert (video.codec.name, video.width, video.height, video.average_rate) == ("mjpeg", 96, 64, 5)
        packets = [packet for packet in container.demux(video) if packet.size]
    assert [bytes(packet) for packet in packets] == pictures
    assert [round(1000 * packet.pts * packet.time_base) for packet in packets if packet.pts is not None] == times


def test_a_picture_does_not_wait_for_the_next(ffmpeg_executable: str, jpegs: list[bytes]) -> None:
    arguments = ["-nostdin", "-loglevel", "error", "-f", "matroska", "-probesize", "32", "-analyzeduration", "0"]
    output = ["-i", "pipe:0", "-c", "copy", "-f", "mjpeg", "-flush_packets", "1", "pipe:1"]
    ffmpeg = subprocess.Popen([ffmpeg_executable, *arguments, *output], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with ffmpeg:
        assert ffmpeg.stdin is not None
        assert ffmpeg.stdout is not None
        ffmpeg.stdin.write(matroska.opening(96, 64, 5))
        for number, jpeg in enumerate(jpegs):
            ffmpeg.stdin.write(matroska.picture(jpeg, 200 * number))
            ffmpeg.stdin.flush()
            assert ffmpeg.stdout.read(len(jpeg)) == jpeg
        ffmpeg.stdin.close()
        assert ffmpeg.wait(20) == 0


@given(st.integers(0, 2**40))
def test_a_size_takes_as_few_bytes_as_hold_it(value: int) -> None:
    """RFC 8794 section 4: the zeros before the first one tell how many bytes there are; all ones is no number."""
    written = matroska._size(value)
    width = len(written)
    assert int.from_bytes(written, "big") == value | 1 << 7 * width
    assert value < (1 << 7 * width) - 1
    assert width == 1 or value >= (1 << 7 * (width - 1)) - 1

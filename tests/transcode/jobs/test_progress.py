from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transcode.jobs.progress import LONGEST, NotProgress, Progress, ProgressReader

BLOCK = b"""frame=2
fps=0.00
stream_0_0_q=5.0
bitrate=N/A
total_size=N/A
out_time_us=12500000
out_time_ms=12500000
out_time=00:00:12.500000
dup_frames=0
drop_frames=0
speed=1.72e+03x
progress=continue
"""
END = b"out_time_us=N/A\nspeed=N/A\nprogress=end\n"
READ = [Progress(12.5, 1720.0, 2), Progress(ended=True)]


def test_blocks_are_read_whole() -> None:
    assert ProgressReader().feed(BLOCK + END) == READ


@given(st.lists(st.integers(0, len(BLOCK + END)), max_size=8))
def test_pieces_make_no_difference(cuts: list[int]) -> None:
    data, reader, at, read = BLOCK + END, ProgressReader(), 0, []
    for cut in [*sorted(cuts), len(data)]:
        read += reader.feed(data[at:cut])
        at = cut
    assert read == READ


@pytest.mark.parametrize(
    ("said", "progress"),
    [
        (b"speed=   0x\n", Progress(speed=0.0)),
        (b"speed= 247x\n", Progress(speed=247.0)),
        (b"speed=fast\n", Progress()),
        (b"out_time_us=-40000\n", Progress(time=0.0)),  # B-frames begin before zero
        (b"out_time_us=-9223372036854775807\n", Progress()),  # FFmpeg's "no value"
        (b"frame=12\n", Progress(frames=12)),
        (b"frame=-1\n", Progress()),
    ],
)
def test_odd_values(said: bytes, progress: Progress) -> None:
    assert ProgressReader().feed(said + b"progress=continue\n") == [progress]


@pytest.mark.parametrize("said", [b"hello\n", b"\n", b"x" * (LONGEST + 1), b"a=1\n" * 5 + b"=" * 5000 + b"\n"])
def test_what_is_no_progress_is_refused(said: bytes) -> None:
    with pytest.raises(NotProgress):
        ProgressReader().feed(said)


def test_a_block_without_an_end_is_refused() -> None:
    with pytest.raises(NotProgress):
        ProgressReader().feed(b"".join(b"key%d=1\n" % number for number in range(200)))


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with suppress(NotProgress):
        ProgressReader().feed(data)


@pytest.mark.parametrize(
    ("progress", "duration", "percent"),
    [
        (Progress(5.0), 10.0, 50.0),
        (Progress(11.0), 10.0, 99.9),
        (Progress(5.0), None, None),
        (Progress(5.0), 0.0, None),
        (Progress(), 10.0, None),
        (Progress(ended=True), None, 100.0),
    ],
)
def test_per_cent(progress: Progress, duration: float | None, percent: float | None) -> None:
    assert progress.percent(duration) == percent

"""Pictures without their Huffman tables, as many cameras send them, must be shown by what knows JPEG alone."""

import io
import subprocess

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediastream.live import jpeg
from tests.live.test_frames import make_jpegs, segment
from tests.media import BUNDLED


def standard() -> bytes:
    """A picture by FFmpeg with the tables of annex K.3."""
    command = [
        *(BUNDLED, "-loglevel", "error", "-f", "lavfi", "-i", "testsrc2=size=96x64", "-frames:v", "1"),
        *("-c:v", "mjpeg", "-huffman", "default", "-f", "image2pipe", "-"),
    ]  # fmt: skip
    return subprocess.run(command, check=True, capture_output=True, timeout=60).stdout


@pytest.fixture(scope="module")
def picture() -> bytes:
    return standard()


def without_tables(picture: bytes) -> bytes:
    for found in reversed(list(jpeg.segments(picture))):
        if found.marker == jpeg.DHT:
            picture = picture[: found.start] + picture[found.end :]
    return picture


def decoded(picture: bytes) -> bytes:
    with av.open(io.BytesIO(picture), format="jpeg_pipe") as container:
        return bytes(next(container.decode(video=0)).planes[0])


def test_the_standard_tables_are_ffmpegs(picture: bytes) -> None:
    tables = [picture[found.start : found.end] for found in jpeg.segments(picture) if found.marker == jpeg.DHT]
    assert tables == [jpeg.STANDARD_TABLES]


def test_missing_tables_are_put_in(picture: bytes) -> None:
    bare = without_tables(picture)
    assert b"\xff\xc4" not in bare[:500]
    made = jpeg.with_tables(bare)
    assert decoded(made) == decoded(picture)
    assert jpeg.with_tables(made) is made


def test_a_picture_with_its_own_tables_stays_as_it_is() -> None:
    for own in make_jpegs():
        assert jpeg.with_tables(own) is own


@pytest.mark.parametrize("marker", [0xC1, 0xC2, 0xC9, 0xC3])
def test_only_baseline_pictures_have_standard_tables(picture: bytes, marker: int) -> None:
    bare = without_tables(picture)
    other = bare.replace(b"\xff\xc0", bytes((0xFF, marker)), 1)
    assert jpeg.with_tables(other) is other


def test_sizes(picture: bytes) -> None:
    assert jpeg.size(picture) == (96, 64)
    assert jpeg.size(picture[:2] + segment(0xE1, b"\xff\xc0" + b"\0" * 30) + b"\xff\xff" + picture[2:]) == (96, 64)
    assert jpeg.size(b"\xff\xd8\xff\xd9") is None
    assert jpeg.size(b"") is None


@given(st.binary(max_size=200), st.integers(0, 600))
def test_broken_pictures_are_survived(tail: bytes, cut: int) -> None:
    for broken in (b"\xff\xd8" + tail, PICTURE[:cut] + tail):
        jpeg.size(broken)
        assert jpeg.with_tables(broken).startswith(broken[:2])
        assert len(list(jpeg.segments(broken))) <= jpeg.MOST


PICTURE = standard()


def test_a_header_of_a_million_segments_is_not_walked() -> None:
    assert jpeg.size(b"\xff\xd8" + segment(0xE1, b"") * 1_000_000) is None
    assert len(list(jpeg.segments(b"\xff\xd8" + segment(0xE1, b"") * 1_000_000))) == jpeg.MOST
    assert list(jpeg.segments(b"\xff\xd8" + b"\xff" * 1_000_000)) == []

"""A camera's bytes come in any pieces and any state; whole pictures must come out, and memory stay bounded."""

import io
import itertools
import subprocess

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mediastream.live.frames import BETWEEN, Frame, FrameTooLarge, JpegSplitter
from tests.media import BUNDLED

SOI, EOI = b"\xff\xd8", b"\xff\xd9"


def make_jpegs() -> list[bytes]:
    """Three small pictures by FFmpeg, taken apart by FFmpeg: each its own output, so no code of ours splits them."""
    pictures = []
    for at in range(3):
        command = [
            *(BUNDLED, "-loglevel", "error", "-f", "lavfi", "-i", "testsrc2=size=96x64:rate=5"),
            *("-vf", f"select=eq(n\\,{at})", "-frames:v", "1", "-q:v", "5", "-f", "image2pipe", "-c:v", "mjpeg", "-"),
        ]  # fmt: skip
        pictures.append(subprocess.run(command, check=True, capture_output=True, timeout=60).stdout)
    return pictures


@pytest.fixture(scope="session")
def jpegs() -> list[bytes]:
    return make_jpegs()


def segment(marker: int, content: bytes) -> bytes:
    return bytes((0xFF, marker)) + (len(content) + 2).to_bytes(2, "big") + content


def with_segment(jpeg: bytes, marker: int, content: bytes) -> bytes:
    """The picture with a further segment behind its SOI, where Exif stands."""
    return jpeg[:2] + segment(marker, content) + jpeg[2:]


def scan_starts(jpeg: bytes) -> int:
    """Where entropy-coded data begins."""
    at = jpeg.index(b"\xff\xda")
    return at + 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")


def with_restarts(jpeg: bytes) -> bytes:
    """Restart markers and stuffed bytes put into the scan; still a picture in its framing."""
    at = scan_starts(jpeg) + 10
    return jpeg[:at] + b"".join(bytes((0xFF, 0xD0 + n, 0x12, 0xFF, 0x00)) for n in range(8)) + jpeg[at:]


def split(data: bytes, size: int | None = None) -> list[bytes]:
    splitter = JpegSplitter()
    pieces = [data] if size is None else [data[at : at + size] for at in range(0, len(data), size)]
    return [frame for piece in pieces for frame in splitter.feed(piece)]


def decodes(jpeg: bytes) -> bool:
    with av.open(io.BytesIO(jpeg), format="jpeg_pipe") as container:
        return next(container.decode(video=0)).width == 96


def test_ffmpegs_pictures_come_out_as_they_went_in(jpegs: list[bytes]) -> None:
    assert split(b"".join(jpegs)) == jpegs
    assert all(decodes(jpeg) for jpeg in jpegs)


def shapes(jpegs: list[bytes]) -> dict[str, bytes]:
    one, two, three = jpegs
    thumbnail = segment(0xE1, b"Exif\0\0" + two)
    return {
        "plain": one,
        "thumbnail": one[:2] + thumbnail + one[2:],
        "two thumbnails": one[:2] + thumbnail + segment(0xE2, three) + one[2:],
        "markers in a segment": with_segment(one, 0xE1, EOI + SOI + EOI + b"\xff\xda\xff\xff"),
        "comment": with_segment(one, 0xFE, b"\xff\xd9" * 20),
        "empty segment": with_segment(one, 0xEF, b""),
        "largest segment": with_segment(one, 0xE1, EOI * 32766),
        "restart markers": with_restarts(one),
        "fill bytes before a segment": one[:2] + b"\xff\xff\xff" + one[2:],
        "fill bytes before the end": one[:-2] + b"\xff\xff\xff" + one[-2:],
        "standalone TEM marker": one[:2] + b"\xff\x01" + one[2:],
        "two scans": one[:-2] + segment(0xC4, b"\0" * 17) + segment(0xDA, b"\1\1\0\0\0\0") + b"\x55\xff\x00\x55" + EOI,
    }


SHAPES = list(shapes([b"\xff\xd8\xff\xda\0\2" + b"x" * 20 + EOI] * 3))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", [None, 1, 2, 3, 1000])
def test_each_shape_in_each_piece_size(jpegs: list[bytes], shape: str, size: int | None) -> None:
    picture = shapes(jpegs)[shape]
    assert split(picture, size) == [picture]
    around = jpegs[1] + picture + jpegs[2]
    assert split(around, size) == [jpegs[1], picture, jpegs[2]]


@pytest.mark.parametrize("shape", ["plain", "thumbnail", "restart markers"])
@pytest.mark.parametrize("end", [False, True])
def test_what_lies_between_pictures_is_dropped(jpegs: list[bytes], shape: str, end: bool) -> None:
    picture = shapes(jpegs)[shape]
    between = [b"\r\n--frame\r\nContent-Type: image/jpeg\r\n\r\n", b"\0\xff", b"\xff", b"\xff\xff", EOI, b"\xd8\xd9"]
    for garbage in between:
        data = garbage.join([b"", picture, picture, b"" if not end else picture])
        for size in (None, 1):
            assert split(data, size) == [picture] * (3 if end else 2)


@pytest.mark.parametrize("size", [None, 1, 7])
def test_a_picture_broken_in_its_scan_costs_only_itself(jpegs: list[bytes], size: int | None) -> None:
    one, two, three = jpegs
    for cut in (scan_starts(one), scan_starts(one) + 5, len(one) - 2, len(one) - 1):
        assert split(one[:cut] + two + three, size) == [two, three]


def test_wherever_a_picture_breaks_good_ones_come_again(jpegs: list[bytes]) -> None:
    """Broken in a segment, it takes along what the believed length covers: 64 KiB at most, a blink of a camera."""
    one, two, three = jpegs
    following = (two + three) * (140_000 // len(two + three))
    for cut in range(1, scan_starts(one)):
        assert split(one[:cut] + following + one + two)[-4:] == [two, three, one, two], cut


def test_a_segment_that_cannot_be_is_skipped(jpegs: list[bytes]) -> None:
    for broken in (
        b"\xff\xd8\xff\xe0\0\0",
        b"\xff\xd8\xff\xe0\0\1",
        b"\xff\xd8\0\0",
        b"\xff\xd8\xff\0",
        b"\xff\xd8" * 9,
    ):
        assert split(broken + jpegs[0], 1) == [jpegs[0]]
        assert split(broken + jpegs[0]) == [jpegs[0]]


@pytest.mark.parametrize("size", [None, 1, 10, 100])
def test_too_large_a_picture_is_refused_however_it_comes(jpegs: list[bytes], size: int | None) -> None:
    jpeg = jpegs[0]
    pieces = [jpeg] if size is None else [jpeg[at : at + size] for at in range(0, len(jpeg), size)]
    exact = JpegSplitter(max_frame=len(jpeg))
    assert [frame for piece in pieces for frame in exact.feed(piece)] == [jpeg]
    small = JpegSplitter(max_frame=len(jpeg) - 1)
    with pytest.raises(FrameTooLarge, match=f"over {len(jpeg) - 1} bytes"):
        [small.feed(piece) for piece in pieces]


def test_a_picture_without_an_end_is_refused() -> None:
    splitter = JpegSplitter(max_frame=10_000)
    assert splitter.feed(SOI + segment(0xDA, b"") + b"x" * 9_000) == []
    with pytest.raises(FrameTooLarge):
        splitter.feed(b"x" * 2_000)


def test_garbage_without_end_takes_no_memory() -> None:
    splitter = JpegSplitter(max_frame=1000)
    for _ in range(100):
        assert splitter.feed(b"garbage \xff" * 1000) == []
        assert len(splitter._buffer) <= 1


def chunked(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:stop] for start, stop in itertools.pairwise(edges)]


@settings(deadline=None)
@given(
    data=st.data(), order=st.lists(st.integers(0, len(SHAPES) + 2), max_size=4), cuts=st.lists(st.integers(0, 10**6))
)
def test_any_pieces_give_the_same_pictures(
    jpegs: list[bytes], data: st.DataObject, order: list[int], cuts: list[int]
) -> None:
    pool = [*shapes(jpegs).values(), b"\xff", b"\r\n--x\r\n", EOI]
    stream = b"".join(pool[index] for index in order if index != SHAPES.index("largest segment"))
    whole = split(stream)
    splitter = JpegSplitter()
    assert [frame for piece in chunked(stream, cuts) for frame in splitter.feed(piece)] == whole
    assert split(stream, 1) == whole


marker_soup = st.lists(
    st.one_of(
        st.sampled_from(
            [SOI, EOI, b"\xff", b"\xff\x00", b"\xff\xda\x00\x02", b"\xff\xe0\x00\x04ab", b"\xff\xd0", b"\xff\x01"]
        ),
        st.binary(max_size=6),
    ),
    max_size=60,
).map(b"".join)


@given(stream=st.one_of(marker_soup, st.binary(max_size=300)), cuts=st.lists(st.integers(0, 10**6), max_size=20))
def test_arbitrary_bytes_in_any_pieces(stream: bytes, cuts: list[int]) -> None:
    whole = split(stream)
    splitter = JpegSplitter()
    assert [frame for piece in chunked(stream, cuts) for frame in splitter.feed(piece)] == whole
    assert split(stream, 1) == whole
    assert all(frame.startswith(SOI) and frame.endswith(EOI) for frame in whole)


@given(pieces=st.lists(st.one_of(marker_soup, st.binary(max_size=80)), max_size=20))
def test_the_buffer_stays_bounded(pieces: list[bytes]) -> None:
    splitter = JpegSplitter(max_frame=50)
    try:
        for piece in pieces:
            assert all(len(frame) <= 50 for frame in splitter.feed(piece))
            assert len(splitter._buffer) <= 50
    except FrameTooLarge:
        return


def test_what_stands_before_a_picture_is_kept_in_bounds(jpegs: list[bytes]) -> None:
    head = b"\r\n--x\r\nContent-Type: image/jpeg\r\nX-Timestamp: 12.5\r\n\r\n"
    stream = jpegs[0] + head + jpegs[1] + b"y" * 5000 + head + jpegs[2] + head
    for size in (1, 7, 100_000):
        splitter = JpegSplitter()
        parts = [part for at in range(0, len(stream), size) for part in splitter.parts(stream[at : at + size])]
        assert [jpeg for _, jpeg in parts] == jpegs
        befores = [before for before, _ in parts]
        assert befores[:2] == [b"", head]
        assert befores[2] == (b"y" * 5000 + head)[-BETWEEN:]


@pytest.mark.parametrize(
    "hostile", [b"\xff\xd8" * 500_000, SOI + b"\xff" * 1_000_000, SOI + segment(0xE1, b"") * 300_000]
)
def test_a_picture_of_markers_alone_is_not_walked_for_ever(hostile: bytes) -> None:
    with pytest.raises(FrameTooLarge, match="markers"):
        JpegSplitter().feed(hostile)


def test_a_frame_is_framed_once_for_all_viewers() -> None:
    frame = Frame(b"jpeg", 12.5)
    assert b"X-Timestamp: 12.500000\r\n\r\njpeg\r\n--frame\r\n" in frame.part.plain
    assert frame.part is frame.part

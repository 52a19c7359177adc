"""The MP4 of an encoder comes in any pieces; each fragment must come out whole and truly described, and what is none
of it be refused before it is held."""

import contextlib
import itertools
import subprocess
from pathlib import Path

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediastream.live.fmp4 import MAX_BOX, MAX_INIT, Fmp4Broken, Fmp4Parser, Fragment, Init
from tests.live.boxes import FTYP, NON_SYNC, avc1, box, full, moof, moov, picture, words
from tests.media import run_ffmpeg

STREAM = FTYP + moov() + b"".join(picture(640 * at, keyframe=at % 3 == 0) for at in range(7))


def parsed(*pieces: bytes) -> list[Init | Fragment]:
    parser = Fmp4Parser()
    return [found for piece in pieces for found in parser.feed(piece)]


def fragment(data: bytes, head: bytes = b"") -> Fragment:
    [_, found] = parsed((head or FTYP + moov()) + data)
    assert isinstance(found, Fragment)
    return found


def test_a_stream_by_hand() -> None:
    [init, *fragments] = parsed(STREAM)
    assert init == Init(FTYP + moov(), "avc1.42C01F", 16000, 640, 360)
    assert isinstance(init, Init)
    assert init.content_type == 'video/mp4; codecs="avc1.42C01F"'
    assert [(f.decode_time, f.duration, f.keyframe) for f in fragments if isinstance(f, Fragment)] == [
        (640 * at, 640, at % 3 == 0) for at in range(7)
    ]
    assert init.data + b"".join(f.data for f in fragments) == STREAM


@given(st.lists(st.integers(0, len(STREAM)), max_size=30))
def test_however_it_is_split(cuts: list[int]) -> None:
    at = [0, *sorted(cuts), len(STREAM)]
    assert parsed(*(STREAM[a:b] for a, b in itertools.pairwise(at))) == parsed(STREAM)


def test_byte_by_byte_each_comes_out_with_its_last_byte() -> None:
    parser, ends, seen = Fmp4Parser(), [], 0
    for at in range(len(STREAM)):
        for found in parser.feed(STREAM[at : at + 1]):
            seen += len(found.data)
            ends.append(at + 1 == seen)
    assert ends == [True] * 8


@pytest.mark.parametrize("version", [0, 1])
def test_either_version_of_a_box(version: int) -> None:
    head = FTYP + moov(90000, version=version)
    [init] = parsed(head)
    assert isinstance(init, Init)
    assert init.timescale == 90000
    time = (7).to_bytes(8 if version else 4, "big")
    trun = full(b"trun", 0, 0x101, words(1, 0, 5))
    assert fragment(moof(trun, tfdt=full(b"tfdt", version, 0, time)) + box(b"mdat"), head).decode_time == 7


@pytest.mark.parametrize(
    ("trun", "tfhd", "duration", "keyframe"),
    [
        ((0x000, (2,)), (0x20000, (1,)), 200, False),  # all by trex
        ((0x000, (2,)), (0x20008, (1, 7)), 14, False),
        ((0x000, (2,)), (0x20028, (1, 7, 0)), 14, True),
        ((0x000, (2,)), (0x2003B, (1, 0, 0, 1, 7, 99, 0)), 14, True),  # with an offset and an index before
        ((0x100, (2, 3, 4)), (0x20000, (1,)), 7, False),
        ((0x004, (1, 0)), (0x20000, (1,)), 100, True),
        ((0x005, (1, 99, NON_SYNC)), (0x20020, (1, 0)), 100, False),
        ((0x400, (2, 0, NON_SYNC)), (0x20000, (1,)), 200, True),
        ((0xF01, (2, 99, 3, 50, NON_SYNC, 1, 4, 60, 0, 1)), (0x20000, (1,)), 7, False),
        ((0x600, (1, 50, 0)), (0x20000, (1,)), 100, True),
    ],
)
def test_what_a_fragment_may_leave_to_others(
    trun: tuple[int, tuple[int, ...]], tfhd: tuple[int, tuple[int, ...]], duration: int, keyframe: bool
) -> None:
    described = full(b"trun", 0, trun[0], words(*trun[1]))
    track = full(b"tfhd", 0, tfhd[0], words(*tfhd[1]))
    found = fragment(moof(described, track) + box(b"mdat"), FTYP + moov(default_duration=100, flags=NON_SYNC))
    assert (found.duration, found.keyframe) == (duration, keyframe)


def test_other_boxes_are_left_out() -> None:
    free = box(b"free", bytes(9))
    with_more = free + FTYP + free + moov() + box(b"styp") + picture(0, keyframe=True) + box(b"mfra", free)
    assert parsed(with_more) == parsed(FTYP + moov() + picture(0, keyframe=True))


def test_a_box_with_a_64_bit_size() -> None:
    large = words(1) + b"mdat" + (20).to_bytes(8, "big") + b"data"
    described = moof(full(b"trun", 0, 0x101, words(1, 0, 5)))
    assert fragment(described + large).data == described + large


@pytest.mark.parametrize(
    "data",
    [
        words(0) + b"mdat",  # to the end of the file
        words(7) + b"free",
        words(1) + b"mdat" + (15).to_bytes(8, "big"),
        words(1) + b"moov" + (2**63).to_bytes(8, "big"),
        words(MAX_INIT + 1) + b"moov",
        FTYP + moov() + words(MAX_BOX + 1) + b"mdat",
        b"HTTP/1.1 200 OK",
        moov(),
        FTYP + FTYP,
        FTYP + picture(0, keyframe=True),
        FTYP + moov() + moov(),
        FTYP + moov() + FTYP,
        FTYP + moov() + box(b"mdat"),
        FTYP + moov() + moof(full(b"trun", 0, 0, words(1))) + box(b"free"),
        FTYP + moov() + moof(full(b"trun", 0, 0, words(0))) + box(b"mdat"),
        FTYP + moov() + moof(full(b"trun", 0, 0x100, words(2**31, 1))) + box(b"mdat"),
        FTYP + moov() + moof(full(b"trun", 0, 0)) + box(b"mdat"),
        FTYP + moov() + moof(b"") + box(b"mdat"),
        FTYP + moov() + box(b"moof", words(99) + b"traf") + box(b"mdat"),
        FTYP + moov() + box(b"moof", b"tra") + box(b"mdat"),
        FTYP + moov(timescale=0),
        FTYP + box(b"moov"),
        FTYP + moov(entry=box(b"hvc1", bytes(100))),
        FTYP + moov(entry=box(b"avc1", bytes(10))),
        FTYP + moov(entry=avc1(avcc=b"")),
        FTYP + moov(entry=avc1(avcc=box(b"avcC", b"\1"))),
    ],
)  # fmt: skip
def test_what_is_none_is_refused(data: bytes) -> None:
    with pytest.raises(Fmp4Broken):
        parsed(data)
    with pytest.raises(Fmp4Broken):
        parsed(*(data[at : at + 1] for at in range(len(data))))


@given(st.integers(0, len(FTYP + moov()) - 1), st.integers(0, 255))
def test_a_changed_byte_is_refused_or_read_but_never_another_error(at: int, value: int) -> None:
    changed = bytearray(STREAM)
    changed[at] = value
    with contextlib.suppress(Fmp4Broken):
        parsed(bytes(changed))


def test_it_tells_of_ffmpegs_own_what_pyav_does(tmp_path: Path, ffmpeg_executable: str) -> None:
    path = tmp_path / "made.mp4"
    arguments = [
        *("-nostdin", "-loglevel", "error", "-f", "lavfi", "-i", "testsrc2=size=322x182:rate=10", "-t", "3"),
        *("-c:v", "libx264", "-bf", "0", "-g", "10", "-pix_fmt", "yuv420p", "-profile:v", "baseline", "-level", "3"),
        *("-movflags", "empty_moov+default_base_moof+frag_every_frame", str(path)),
    ]
    subprocess.run([ffmpeg_executable, *arguments], check=True, timeout=60)
    [init, *fragments] = parsed(path.read_bytes())
    assert isinstance(init, Init)
    assert (init.codec, init.width, init.height) == ("avc1.42C01E", 322, 182)
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    assert [f.keyframe for f in fragments if isinstance(f, Fragment)] == [packet.is_keyframe for packet in packets]
    assert [f.decode_time / init.timescale for f in fragments if isinstance(f, Fragment)] == pytest.approx(
        [float((packet.dts or 0) * packet.time_base) for packet in packets]
    )


def test_a_file_that_is_not_fragmented_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "plain.mp4"
    run_ffmpeg(["-f", "lavfi", "-i", "testsrc2=size=64x64:rate=5", "-t", "1", "-c:v", "libx264", str(path)])
    with pytest.raises(Fmp4Broken):
        parsed(path.read_bytes())

"""Segments, and spans joined of them, as real players' libraries see them."""

import contextlib
import io
import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import av
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mediastream.errors import Unknown
from mediastream.live.recording import boxes, samples, segments
from mediastream.live.recording.boxes import Mp4Invalid
from mediastream.live.recording.draft import Draft, salvage
from mediastream.live.recording.names import Segment
from mediastream.live.recording.playing import Recorded, look
from mediastream.live.recording.shelf import heads, listed, path_of
from mediastream.live.recording.span import joined
from tests.live.recording.pieces import START, encoded, fill, groups, pieces

FOUR = [START, START + 2_000, START + 4_000, START + 6_000]


def times(data: bytes | Path) -> list[float]:
    """When each picture is shown; decodes them all."""
    source = io.BytesIO(data) if isinstance(data, bytes) else str(data)
    with av.open(source) as container:
        shown = [float(frame.time) for frame in container.decode(video=0) if frame.time is not None]
    assert shown == sorted(shown)
    return shown


def whole(recorded: Recorded) -> bytes:
    data = b"".join(recorded.chunks())
    assert len(data) == recorded.size
    return data


def test_samples_come_out_as_they_went_in() -> None:
    for piece in pieces()[:50]:
        its = boxes.track(piece.init)
        found = samples.read(piece.data, its)
        written = samples.write(found, its.id, 7, 1234)
        again = samples.read(written, its)
        assert (again.rows, again.data, again.duration) == (found.rows, found.data, piece.duration)
        assert written[samples.NUMBER_AT :][:4] == (7).to_bytes(4, "big")
        assert written[samples.TIME_AT :][:8] == (1234).to_bytes(8, "big")


def test_a_segment_plays_by_itself(tmp_path: Path) -> None:
    fill(tmp_path, [START], seconds=3)
    [segment] = listed(tmp_path, START, START + 1)
    assert segment == Segment(START, 3000)
    path = path_of(tmp_path, segment)
    shown = times(path)
    assert (shown[0], len(shown)) == (0.0, 75)
    with av.open(str(path)) as container:
        assert container.duration == pytest.approx(3_000_000, abs=50_000)
        container.seek(2_500_000)  # by its index
        frame = next(container.decode(video=0))
        assert frame.time == 2.0


def test_a_span_over_several_segments(tmp_path: Path) -> None:
    fill(tmp_path, FOUR)
    recorded = look(tmp_path, START + 2_500, START + 6_001)
    assert recorded.span.start == START + 2_000
    assert recorded.span.duration == 6000
    data = whole(recorded)
    shown = times(data)
    assert len(shown) == 150
    assert shown == pytest.approx([number / 25 for number in range(150)], abs=0.002)
    with av.open(io.BytesIO(data)) as container:
        assert container.duration == pytest.approx(6_000_000, abs=50_000)
        container.seek(5_100_000)
        assert next(container.decode(video=0)).time == pytest.approx(5.0, abs=0.002)


def test_within_a_stretch_time_is_real_and_a_gap_is_left_out(tmp_path: Path) -> None:
    """Half a second between two segments stays half a second; an hour does not stay."""
    fill(tmp_path, [START, START + 2_500, START + 3_600_000])
    shown = times(whole(look(tmp_path, START, START + 4_000_000)))
    assert len(shown) == 150
    assert shown[50] == pytest.approx(2.5, abs=0.002)
    assert shown[100] == pytest.approx(4.5, abs=0.002)


def test_segments_that_overlap_play_one_after_the_other(tmp_path: Path) -> None:
    """A clock was set back."""
    fill(tmp_path, [START, START + 700])
    shown = times(whole(look(tmp_path, START, START + 4_000)))
    assert shown[50] == pytest.approx(2.0, abs=0.002)


def test_a_span_ends_before_pictures_of_another_size(tmp_path: Path) -> None:
    fill(tmp_path, FOUR[:2])
    fill(tmp_path, FOUR[2:], size="640x360")
    assert len(look(tmp_path, START, START + 8_000).span.parts) == 2
    assert len(look(tmp_path, START + 4_000, START + 8_000).span.parts) == 2


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
@given(cuts=st.lists(st.integers(0, 200_000), max_size=20))
def test_a_part_is_corrected_the_same_however_it_is_read(tmp_path: Path, cuts: list[int]) -> None:
    if not listed(tmp_path, START, START + 8_000):
        fill(tmp_path, FOUR)
    part = look(tmp_path, START, START + 8_000).span.parts[2]
    raw = path_of(tmp_path, part.segment).read_bytes()[part.start : part.stop]
    edges = sorted({0, part.size, *(cut % part.size for cut in cuts), 20, 22, 60, 65, 68})
    read = [part.corrected(a, raw[a:b]) for a, b in itertools.pairwise(edges)]
    assert b"".join(read) == part.corrected(0, raw)


def test_nothing_and_damaged_files_are_left_out(tmp_path: Path) -> None:
    with pytest.raises(Unknown, match="Nothing is recorded"):
        look(tmp_path, START, START + 1)
    fill(tmp_path, FOUR)
    found = listed(tmp_path, START, START + 8_000)
    path_of(tmp_path, found[0]).unlink()
    path_of(tmp_path, found[1]).write_bytes(b"")
    os.truncate(path_of(tmp_path, found[2]), 50_000)
    assert [segment for segment, _ in heads(tmp_path, found)] == [found[3]]
    with pytest.raises(Mp4Invalid, match="nothing"):
        joined([])


@pytest.fixture(scope="module")
def draft_file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[bytes]:
    """A draft as it lies there when its process is killed."""
    folder = tmp_path_factory.mktemp("draft")
    draft = Draft(folder, encoded()[0], START, 0)
    for group in groups(pieces())[:6]:
        draft.add(group)
    yield (folder / f"{START}.part").read_bytes()
    draft.discard()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(share=st.floats(0, 1))
def test_what_a_crash_left_is_saved_up_to_its_last_whole_fragment(
    tmp_path: Path, draft_file: bytes, share: float
) -> None:
    left = tmp_path / f"{START}.part"
    left.write_bytes(draft_file[: round(share * len(draft_file))])
    saved = salvage(tmp_path)
    assert not left.exists()
    assert len(saved) <= 1
    for segment, size in saved:
        path = path_of(tmp_path, segment)
        assert path.stat().st_size == size
        assert len(times(path)) == segment.duration // 40
        [(_, head)] = heads(tmp_path, [segment])
        assert len(head.fragments) == segment.duration // 1000
        path.unlink()
    if share == 1:
        assert [segment.duration for segment, _ in saved] == [6000]


@settings(deadline=None)
@given(st.binary(max_size=200), st.integers(0, 1500), st.booleans())
def test_no_bytes_do_more_than_be_refused(noise: bytes, at: int, of_fragment: bool) -> None:
    init, fragments = encoded()
    data = bytearray(fragments[0].data[:600] if of_fragment else init + segments.room(boxes.track(init), ()))
    data[at : at + len(noise)] = noise
    for read in (lambda: samples.read(bytes(data), boxes.track(init)), lambda: segments.read(bytes(data))):
        with contextlib.suppress(Mp4Invalid):
            read()

import itertools
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediastream.live.recording.names import (
    DAY,
    JOIN,
    LATEST,
    LONGEST,
    Segment,
    Stretch,
    day_of,
    days,
    parse,
    stretches,
    within,
)

moments = st.integers(0, LATEST)
segments = st.builds(Segment, moments, st.integers(1, LONGEST))
close = st.lists(st.builds(Segment, st.integers(0, 5_000_000), st.integers(1, LONGEST)), max_size=30).map(sorted)


@pytest.mark.parametrize(
    ("start", "duration", "name"),
    [
        (1_795_371_948_061, 10_040, "20261122T182548.061Z-10040.mp4"),
        (0, 1, "19700101T000000.000Z-1.mp4"),
        (LATEST, LONGEST, "99991231T235959.999Z-600000.mp4"),
    ],
)
def test_a_name(start: int, duration: int, name: str) -> None:
    assert Segment(start, duration).name == name
    assert parse(name) == Segment(start, duration)


@given(segments)
def test_a_name_leads_back_to_its_segment(segment: Segment) -> None:
    assert parse(segment.name) == segment
    assert segment.name.startswith(segment.day)


@given(st.text(max_size=40) | st.from_regex(r"\A\d{8}T\d{6}\.\d{3}Z-\d{1,7}\.mp4\Z"))
def test_no_text_is_taken_for_a_name_that_is_none(text: str) -> None:
    found = parse(text)
    assert found is None or found.name == text


@pytest.mark.parametrize(
    "name",
    [
        "", "1795371948061.part", "20261122T182548.061Z-10040.mp4.part", "20261122T182548.061Z-0.mp4",
        "20261122T182548.061Z-010.mp4", "20261122T182548.061Z-600001.mp4", "20261322T182548.061Z-10.mp4",
        "20261122T182560.061Z-10.mp4", "20261122T182548.061Z-10.MP4", "20261122T182548,061Z-10.mp4",
        "19691231T235959.999Z-10.mp4", "20261122T182548.061Z-1\u0660.mp4", " 20261122T182548.061Z-10.mp4",
        "20261122T182548.061Z-10.mp4\n",
    ],
)  # fmt: skip
def test_what_is_no_name(name: str) -> None:
    assert parse(name) is None


@given(st.lists(segments, max_size=20))
def test_names_sort_as_their_segments_do(some: list[Segment]) -> None:
    by_name = sorted({segment.name for segment in some}, key=lambda name: name.partition("-")[0])
    starts = [segment.start for name in by_name if (segment := parse(name)) is not None]
    assert starts == sorted(starts)


@pytest.mark.parametrize(
    ("spans", "wanted"),
    [
        ([], []),
        ([(0, 10_000)], [(0, 10_000)]),
        ([(0, 10_000), (10_000, 10_000)], [(0, 20_000)]),
        ([(0, 10_000), (12_000, 10_000)], [(0, 22_000)]),
        ([(0, 10_000), (12_001, 10_000)], [(0, 10_000), (12_001, 22_001)]),
        ([(0, 10_000), (2_000, 3_000)], [(0, 10_000)]),
        ([(0, 10_000), (5_000, 10_000), (40_000, 1)], [(0, 15_000), (40_000, 40_001)]),
    ],
)
def test_stretches(spans: list[tuple[int, int]], wanted: list[tuple[int, int]]) -> None:
    assert stretches(Segment(*span) for span in spans) == [Stretch(*span) for span in wanted]


@given(close)
def test_stretches_cover_all_segments_and_have_gaps_between(some: list[Segment]) -> None:
    found = stretches(some)
    for segment in some:
        assert any(stretch.start <= segment.start and segment.end <= stretch.end for stretch in found)
    for before, after in itertools.pairwise(found):
        assert after.start - before.end > JOIN
    assert {stretch.start for stretch in found} <= {segment.start for segment in some}
    assert {stretch.end for stretch in found} <= {segment.end for segment in some}


@given(close, st.integers(0, 6_000_000), st.integers(1, 2_000_000))
def test_within(some: list[Segment], start: int, length: int) -> None:
    end = start + length
    assert within(some, start, end) == [segment for segment in some if segment.start < end and segment.end > start]


@given(segments, st.integers(-LONGEST, LONGEST), st.integers(1, DAY))
def test_the_days_of_a_span_hold_all_its_segments(segment: Segment, shift: int, length: int) -> None:
    start = max(segment.start + shift, 0)
    end = start + length
    if segment.start < end and segment.end > start:
        assert segment.day in days(start, end)
    assert len(days(start, end)) <= 3


def test_days_are_of_utc() -> None:
    midnight = int(datetime(2026, 11, 23, tzinfo=UTC).timestamp() * 1000)
    assert (day_of(midnight - 1), day_of(midnight)) == ("20261122", "20261123")
    assert days(midnight, midnight + 1) == ["20261122", "20261123"]

"""Decisions about time, on a clock of the tests' own."""

import itertools

import pytest

from mediastream.live import rhythm
from mediastream.live.rhythm import Backoff, Pace, Rhythm


def after(intervals: list[float], every: float | None = None) -> Rhythm:
    now = 100.0
    made = Rhythm(now, every)
    for interval in intervals:
        now += interval
        made.note(now)
    return made


@pytest.mark.parametrize(
    ("intervals", "patience"),
    [
        ([], rhythm.OPENING),
        ([3.0], rhythm.OPENING),
        ([3.0, 0.04, 0.04, 0.04], rhythm.OPENING),
        ([3.0, *[0.04] * 5], rhythm.STALL),
        ([3.0, *[0.2] * 5], rhythm.STALL),
        ([0.1, *[1.0] * 5], 10.0),
        ([0.1, *[5.0] * 5], 50.0),
    ],
)
def test_patience(intervals: list[float], patience: float) -> None:
    made = after(intervals)
    assert made.patience == pytest.approx(patience)
    assert made.deadline == pytest.approx(100 + sum(intervals) + patience)


def test_a_picture_is_late_before_the_source_has_stalled() -> None:
    made = after([0.04] * 100)
    assert not made.late(made.last + 2.9)
    assert made.late(made.last + 3.1)
    assert made.last + 3.1 < made.deadline


@pytest.mark.parametrize(("every", "patience"), [(1.0, 16.0), (10.0, 25.0), (60.0, 120.0)])
def test_what_is_asked_for_one_by_one_is_waited_for_longer(every: float, patience: float) -> None:
    assert after([every] * 9, every).patience == patience


def test_the_usual_interval_follows_a_camera_that_slows_down() -> None:
    made = after([0.04] * 100 + [0.5] * 100)
    assert made.rate == pytest.approx(2.0, abs=0.05)
    assert made.patience == pytest.approx(5.0, abs=0.1)
    assert after([0.04]).rate is None


def test_each_failure_in_a_row_is_waited_for_longer() -> None:
    backoff = Backoff(0.5, 8.0)
    pauses = [backoff.after(lasted=0.1) for _ in range(12)]
    for number, pause in enumerate(pauses):
        middle = min(0.5 * 1.5**number, 8.0)
        assert 0.7 * middle <= pause <= 1.3 * middle
    assert backoff.after(lasted=16.1) <= 0.65, "one that lasted is none in the row"
    assert backoff.after(lasted=0.1) >= 0.525


def test_cameras_that_failed_together_are_not_tried_together() -> None:
    pauses = [Backoff(0.5, 8.0).after(0.0) for _ in range(20)]
    assert all(one != two for one, two in itertools.pairwise(pauses))


@pytest.mark.parametrize(
    ("source", "rate", "let_through"),
    [(25, 25, 250), (30, 25, 250), (25, 5, 50), (5, 25, 50), (25, 0.5, 5), (60, 24, 240)],
)
def test_a_pace(source: int, rate: float, let_through: int) -> None:
    pace = Pace(rate)
    times = [number / source for number in range(10 * source) if pace.due(1000 + number / source)]
    assert abs(len(times) - let_through) <= 1
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert all(gap > 0.49 / rate for gap in gaps)


def test_jitter_costs_no_picture() -> None:
    pace = Pace(25)
    times = [number / 25 + 0.015 * (-1) ** number for number in range(250)]
    assert [pace.due(now) for now in times].count(False) <= 1


def test_after_a_pause_there_is_no_flood() -> None:
    pace = Pace(10)
    assert pace.due(0.0)
    assert sum(pace.due(60 + number / 1000) for number in range(100)) <= 3

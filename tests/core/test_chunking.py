"""The size of the next chunk, by how long the client took over the last."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediastream.chunking import FIRST, LATE, LEAST, MOST, SOON, Chunking

KIB = 1024


def sizes(took: list[float], most: int) -> list[int]:
    """Of the first chunk, and of each that is asked for so many seconds after the one before was given."""
    chunking, now = Chunking(most), 100.0
    found = [chunking.asked(now)]
    for seconds in took:
        chunking.given(now)
        now += seconds
        found.append(chunking.asked(now))
    return found


@pytest.mark.parametrize(
    ("took", "most", "expected"),
    [
        ([0, 0, 0, 0], 256 * KIB, [64, 128, 256, 256, 256]),
        ([0, 0], 96 * KIB, [64, 96, 96]),
        ([0, 0], 32 * KIB, [32, 32, 32]),
        ([0.1, 0.1], 256 * KIB, [64, 64, 64]),
        ([1, 1, 1, 1], 256 * KIB, [64, 32, 16, 16, 16]),
        ([0, 0, 60, 0], 256 * KIB, [64, 128, 256, 128, 256]),
        ([1.1 * SOON, 0.9 * LATE, 0.9 * SOON, 1.1 * LATE], 256 * KIB, [64, 64, 64, 128, 64]),
    ],
)
def test_sizes(took: list[float], most: int, expected: list[int]) -> None:
    assert sizes(took, most) == [size * KIB for size in expected]


def test_a_chunk_that_was_asked_for_twice_counts_from_when_it_was_given() -> None:
    chunking = Chunking(MOST)
    chunking.given(10.0)
    chunking.given(20.0)
    assert chunking.asked(20.1) == FIRST


@given(st.lists(st.floats(0, 100)), st.integers(LEAST, 4 * 1024 * KIB))
def test_no_client_gets_more_or_less_than_the_bounds(took: list[float], most: int) -> None:
    assert all(min(LEAST, most) <= size <= most for size in sizes(took, most))


@given(st.integers(LEAST, 4 * 1024 * KIB))
def test_whatever_was_before_a_slow_client_has_the_least_after_a_while(most: int) -> None:
    assert sizes([0.0] * 20 + [1.0] * 20, most)[-1] == LEAST

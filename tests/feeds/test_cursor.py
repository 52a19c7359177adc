import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediastream.feeds import cursor
from mediastream.feeds.cursor import Cursor


@given(st.from_regex(r"[0-9a-f]{8}", fullmatch=True), st.integers(0, 10**15 - 1))
def test_round_trip(epoch: str, sequence: int) -> None:
    assert cursor.parse(str(Cursor(epoch, sequence))) == Cursor(epoch, sequence)


@pytest.mark.parametrize(
    "text", ["", ":", "0123abcd", "0123abcd:", "0123ABCD:1", "0123abcd:01", "0123abcd:1 ", "0123abcd:-1", "0123abcd:٣"]
)
def test_none_of_ours(text: str) -> None:
    assert cursor.parse(text) is None


@given(st.text(max_size=40))
def test_any_text(text: str) -> None:
    found = cursor.parse(text)
    assert found is None or str(found) == text


def test_epochs_differ() -> None:
    assert len({cursor.new_epoch() for _ in range(100)}) == 100

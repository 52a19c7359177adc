import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediastream.errors import BadInput
from mediastream.live.recording.times import LONGEST, parse, span


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("0", 0),
        ("1795371948", 1_795_371_948_000),
        ("1795371948.5", 1_795_371_948_500),
        ("1795371948.061999", 1_795_371_948_061),
        ("2026-11-22T18:25:48Z", 1_795_371_948_000),
        ("2026-11-22T18:25Z", 1_795_371_900_000),
        ("2026-11-22T19:25:48.061+01:00", 1_795_371_948_061),
        ("2026-11-22T13:25:48.5-05:00", 1_795_371_948_500),
    ],
)
def test_a_time(text: str, wanted: int) -> None:
    assert parse("from", text) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "", "now", "-1", "+1", "1e9", "nan", " 1", "1 ", "1,5", "1.", ".5", "12345678901", "1.1234567", "\u0661",
        "2026-11-22", "2026-11-22T18:25:48", "2026-11-22 18:25:48Z", "2026-13-22T18:25:48Z", "2026-11-22T25:25:48Z",
        "2026-11-22T18:25:48 01:00", "1969-12-31T23:59:59Z", "2026-11-22T18:25:48+0100", "0000-01-01T00:00:00Z",
        "9999-12-31T23:59:59-23:59", "2026-11-22T18:25:48+99:00",
    ],
)  # fmt: skip
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(BadInput, match=r"^from is a time"):
        parse("from", text)


@given(st.text(max_size=30))
def test_any_text_is_a_time_or_bad_input(text: str) -> None:
    with contextlib.suppress(BadInput):
        assert parse("to", text) >= 0


@pytest.mark.parametrize(("start", "end"), [("5", "5"), ("6", "5"), ("0", str(LONGEST // 1000 + 1))])
def test_a_span_has_a_length_and_a_bound(start: str, end: str) -> None:
    with pytest.raises(BadInput, match="24 hours"):
        span({"from": start, "to": end})


@pytest.mark.parametrize("query", [{}, {"from": "1"}, {"to": "1"}])
def test_both_are_needed(query: dict[str, str]) -> None:
    with pytest.raises(BadInput, match="is a time"):
        span(query)

"""What a player says of itself, parsed strictly."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediastream.errors import BadInput
from transcode.player import BROWSER, EVERYTHING, MEASURED, SAFARI, parse


def test_a_name_or_what_was_measured() -> None:
    assert parse({}) is BROWSER
    assert parse({"player": "safari"}) is SAFARI
    assert parse({"plays": "h264,aac"}).plays == {"h264", "aac"}
    assert parse({"plays": ""}).plays == frozenset()


@pytest.mark.parametrize(
    "query",
    [
        {"plays": "h264,"}, {"plays": " h264"}, {"plays": "H264"}, {"plays": "h264-444"}, {"plays": "x" * 500},
        {"player": "nobody"}, {"player": ""}, {"player": "browser", "plays": "h264"},
    ],
)  # fmt: skip
def test_all_else_is_refused(query: dict[str, str]) -> None:
    with pytest.raises(BadInput):
        parse(query)


@given(st.lists(st.sampled_from(sorted(MEASURED)), min_size=1, max_size=20))
def test_every_word_that_is_measured_is_known(words: list[str]) -> None:
    if len(",".join(words)) <= 400:
        assert parse({"plays": ",".join(words)}).plays == set(words) <= EVERYTHING


@given(st.text(max_size=50))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        found = parse({"plays": text})
    except BadInput:
        return
    assert found.plays <= MEASURED


def test_all_words_at_once_are_not_too_long() -> None:
    assert parse({"plays": ",".join(sorted(MEASURED))}).plays == MEASURED

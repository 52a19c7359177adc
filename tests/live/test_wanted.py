"""What a page may ask of the wall's socket."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediastream.live.wanted import MOST, Tile, WantedInvalid, parse


@pytest.mark.parametrize(
    ("text", "tiles"),
    [
        ('{"show": {}}', {}),
        ('{"show": {"yard": {}}}', {"yard": Tile(None, None)}),
        ('{"show": {"yard": {"fps": 5, "width": 320}}}', {"yard": Tile(5, 320)}),
        (
            '{"show": {"yard": {"fps": 0.5}, "a-b_C9": {"width": 1}}}',
            {"yard": Tile(0.5, None), "a-b_C9": Tile(None, 1)},
        ),
    ],
)
def test_what_it_means(text: str, tiles: dict[str, Tile]) -> None:
    assert parse(text) == tiles


@pytest.mark.parametrize(
    "text",
    [
        "", "x", "[]", "null", "5", "{}", '{"show": []}', '{"show": {}, "more": 1}', '{"show": {"": {}}}',
        '{"show": {"../etc": {}}}', '{"show": {"ü": {}}}', '{"show": {"yard": null}}', '{"show": {"a": {"size": 1}}}',
        '{"show": {"yard": {"fps": "5"}}}', '{"show": {"yard": {"fps": true}}}', '{"show": {"yard": {"fps": 0}}}',
        '{"show": {"yard": {"fps": 61}}}', '{"show": {"yard": {"fps": NaN}}}', '{"show": {"yard": {"fps": 1e999}}}',
        '{"show": {"yard": {"width": 1.5}}}', '{"show": {"yard": {"width": 0}}}', '{"show": {"a": {"width": 10001}}}',
        "[" * 20000,
        json.dumps({"show": {f"camera-{number}": {} for number in range(MOST + 1)}}),
    ],
)  # fmt: skip
def test_what_has_no_meaning(text: str) -> None:
    with pytest.raises(WantedInvalid):
        parse(text)


VALUES = st.recursive(st.none() | st.integers() | st.text(), lambda of: st.lists(of) | st.dictionaries(st.text(), of))


@given(st.text() | VALUES.map(json.dumps) | VALUES.map(lambda value: json.dumps({"show": value})))
def test_whatever_comes_it_is_a_value_or_a_clear_no(text: str) -> None:
    try:
        parsed = parse(text)
    except WantedInvalid:
        return
    assert all(isinstance(tile, Tile) for tile in parsed.values())

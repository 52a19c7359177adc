"""The query of a stream's address: strangers type it, players repeat it."""

import math

import pytest
from django.http import QueryDict
from hypothesis import given
from hypothesis import strategies as st

from mediastream.errors import BadInput
from transcode import forms
from transcode.profiles import PROFILES


@pytest.mark.parametrize(
    ("query", "duration", "start", "profile"),
    [
        ("", 10.0, 0.0, None),
        ("", None, 0.0, None),
        ("start=&profile=", 10.0, 0.0, None),
        ("start=0", 10.0, 0.0, None),
        ("start=0", 0.0, 0.0, None),
        ("start=0", None, 0.0, None),
        ("start=2.5", 10.0, 2.5, None),
        ("start=%202.5%20", 10.0, 2.5, None),
        ("start=9.999", 10.0, 9.999, None),
        ("profile=original", 10.0, 0.0, None),
        ("profile=360p", 10.0, 0.0, "360p"),
        ("start=1&profile=1080p", 10.0, 1.0, "1080p"),
        # Of repeated keys the last counts, as everywhere in Django.
        ("start=x&start=3", 10.0, 3.0, None),
        ("profile=360p&profile=480p", 10.0, 0.0, "480p"),
        ("ticket=abc&_=123", 10.0, 0.0, None),
    ],
)
def test_what_is_meant(query: str, duration: float | None, start: float, profile: str | None) -> None:
    assert forms.parse(QueryDict(query), duration) == (start, PROFILES[profile] if profile else None)


@pytest.mark.parametrize(
    ("query", "duration", "said"),
    [
        ("start=-1", 10.0, "start: .*seconds"),
        ("start=-0.001", 10.0, "start:"),
        ("start=nan", 10.0, "start:"),
        ("start=inf", 10.0, "start:"),
        ("start=-inf", 10.0, "start:"),
        ("start=1e999", 10.0, "start:"),
        ("start=x", 10.0, "start: .*seconds, such as 12.5"),
        ("start=1,5", 10.0, "start:"),
        ("start=0x10", 10.0, "start:"),
        ("start=1:30", 10.0, "start:"),
        ("start=3&start=x", 10.0, "start:"),
        ("start=1e99", 10.0, "start:"),
        ("start=99999999", 10.0, "past the end; the length is 10.000 seconds"),
        ("start=-0", 10.0, "start:"),
        ("start=1e-3", 10.0, "start:"),
        ("start=1_0", 10.0, "start:"),
        ("start=%D9%A1", 10.0, "start:"),
        ("start=10", 10.0, "past the end"),
        ("start=10.001", 10.0, "past the end"),
        ("start=1", 0.0, "past the end"),
        ("start=1", None, "the length is unknown"),
        ("profile=4k", 10.0, "profile: .*original, 360p, 480p, 720p, 1080p"),
        ("profile=720P", 10.0, "profile:"),
        ("profile=../x", 10.0, "profile:"),
    ],
)
def test_what_cannot_be_meant_names_the_field(query: str, duration: float | None, said: str) -> None:
    with pytest.raises(BadInput, match=said) as caught:
        forms.parse(QueryDict(query), duration)
    assert caught.value.status == 400


@given(start=st.text(), profile=st.text(), duration=st.one_of(st.none(), st.floats(0, 1e6)))
def test_any_query_is_a_start_within_the_item_or_bad_input(start: str, profile: str, duration: float | None) -> None:
    query = QueryDict(mutable=True)
    query["start"], query["profile"] = start, profile
    try:
        found, chosen = forms.parse(query, duration)
    except BadInput:
        return
    assert math.isfinite(found)
    assert found == 0 or 0 < found < (duration or 0)
    assert chosen is None or chosen in PROFILES.values()

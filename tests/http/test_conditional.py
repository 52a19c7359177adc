"""RFC 9110 sections 8.8 and 13: each precondition, their precedence, and dates in their three forms."""

import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediastream.http.conditional import Outcome, Validators, evaluate, format_date, parse_date, range_applies

MODIFIED = 784_111_777  # Sun, 06 Nov 1994 08:49:37 GMT, the date of RFC 9110's examples
BEFORE = "Sun, 06 Nov 1994 08:49:36 GMT"
EXACT = "Sun, 06 Nov 1994 08:49:37 GMT"
AFTER = "Sun, 06 Nov 1994 08:49:38 GMT"
CURRENT = Validators('"abc-1"', MODIFIED)

OK, SAME, FAILED = Outcome.PROCEED, Outcome.NOT_MODIFIED, Outcome.FAILED


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, OK),
        # If-Match compares strongly.
        ({"If-Match": '"abc-1"'}, OK),
        ({"If-Match": "*"}, OK),
        ({"If-Match": " * "}, OK),
        ({"If-Match": '"x", "abc-1"'}, OK),
        ({"If-Match": '"x"'}, FAILED),
        ({"If-Match": 'W/"abc-1"'}, FAILED),
        ({"If-Match": ""}, FAILED),
        ({"If-Match": "abc-1"}, FAILED),
        ({"If-Match": '"abc-1" junk'}, FAILED),
        ({"If-Match": '*, "abc-1"'}, FAILED),
        # If-Unmodified-Since
        ({"If-Unmodified-Since": BEFORE}, FAILED),
        ({"If-Unmodified-Since": EXACT}, OK),
        ({"If-Unmodified-Since": AFTER}, OK),
        ({"If-Unmodified-Since": "yesterday"}, OK),
        # If-None-Match compares weakly.
        ({"If-None-Match": '"abc-1"'}, SAME),
        ({"If-None-Match": 'W/"abc-1"'}, SAME),
        ({"If-None-Match": "*"}, SAME),
        ({"If-None-Match": '"x","y" ,\tW/"abc-1"'}, SAME),
        ({"If-None-Match": ',, "x",, "abc-1",'}, SAME),
        ({"If-None-Match": '"a,b", "abc-1"'}, SAME),
        ({"If-None-Match": '"x"'}, OK),
        ({"If-None-Match": ""}, OK),
        ({"If-None-Match": "abc-1"}, OK),
        ({"If-None-Match": 'w/"abc-1"'}, OK),  # the weakness flag is case-sensitive (section 8.8.3)
        ({"If-None-Match": 'W/ "abc-1"'}, OK),
        ({"If-None-Match": '"abc-1" "x"'}, OK),
        ({"If-None-Match": '"abc-1"x'}, OK),
        ({"If-None-Match": '"abc-1'}, OK),
        ({"If-None-Match": '"ABC-1"'}, OK),
        # If-Modified-Since
        ({"If-Modified-Since": BEFORE}, OK),
        ({"If-Modified-Since": EXACT}, SAME),
        ({"If-Modified-Since": AFTER}, SAME),
        ({"If-Modified-Since": "Sunday, 06-Nov-94 08:49:37 GMT"}, SAME),
        ({"If-Modified-Since": "Sun Nov  6 08:49:37 1994"}, SAME),
        ({"If-Modified-Since": "Sun, 06 Nov 1994 08:49:37"}, OK),
        ({"If-Modified-Since": f"{EXACT}, {AFTER}"}, OK),
        ({"If-Modified-Since": ""}, OK),
        # Precedence (section 13.2.2): the tag, where there is one, silences its date.
        ({"If-Match": '"abc-1"', "If-Unmodified-Since": BEFORE}, OK),
        ({"If-Match": '"x"', "If-Unmodified-Since": AFTER}, FAILED),
        ({"If-None-Match": '"x"', "If-Modified-Since": AFTER}, OK),
        ({"If-None-Match": '"abc-1"', "If-Modified-Since": BEFORE}, SAME),
        ({"If-None-Match": "junk", "If-Modified-Since": AFTER}, OK),
        # What failed first is the answer.
        ({"If-Match": '"x"', "If-None-Match": '"abc-1"'}, FAILED),
        ({"If-Match": '"abc-1"', "If-None-Match": '"abc-1"'}, SAME),
        ({"If-Unmodified-Since": BEFORE, "If-None-Match": '"abc-1"'}, FAILED),
        ({"If-Unmodified-Since": AFTER, "If-Modified-Since": EXACT}, SAME),
    ],
)
def test_reading(method: str, headers: dict[str, str], expected: Outcome) -> None:
    assert evaluate(method, headers, CURRENT) is expected


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"If-None-Match": '"abc-1"'}, FAILED),
        ({"If-None-Match": "*"}, FAILED),
        ({"If-None-Match": '"x"'}, OK),
        ({"If-Modified-Since": AFTER}, OK),  # means nothing but for GET and HEAD (section 13.1.3)
        ({"If-Match": '"abc-1"'}, OK),
        ({"If-Match": '"x"'}, FAILED),
        ({"If-Unmodified-Since": BEFORE}, FAILED),
    ],
)
@pytest.mark.parametrize("method", ["PUT", "DELETE", "POST"])
def test_writing(method: str, headers: dict[str, str], expected: Outcome) -> None:
    assert evaluate(method, headers, CURRENT) is expected


def test_a_backslash_and_obs_text_are_plain_characters_of_a_tag() -> None:
    current = Validators('"a\\"', 0)
    assert evaluate("GET", {"If-None-Match": '"a\\", "b"'}, current) is SAME
    assert evaluate("GET", {"If-None-Match": '"\xe9"'}, Validators('"\xe9"', 0)) is SAME


def test_a_hostile_list_costs_no_more_than_its_length() -> None:
    """A backtracking pattern would take minutes for one header."""
    started = time.monotonic()
    for hostile in (", " * 30_000 + "x", '"a",' * 15_000 + "x", '"a"' + " \t" * 30_000 + "x", 'W/"' * 20_000):
        assert evaluate("GET", {"If-None-Match": hostile}, CURRENT) is OK
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    ("if_range", "applies"),
    [
        (None, True),
        ('"abc-1"', True),
        (' "abc-1" ', True),
        ('W/"abc-1"', False),
        ('"x"', False),
        ('"abc-1", "x"', False),
        ("*", False),
        ("", False),
        ("abc-1", False),
        (EXACT, True),
        ("Sunday, 06-Nov-94 08:49:37 GMT", True),
        ("Sun Nov  6 08:49:37 1994", True),
        # Exactly this date: a later one proves no more than an earlier one (section 13.1.5).
        (BEFORE, False),
        (AFTER, False),
        ("yesterday", False),
    ],
)
def test_if_range(if_range: str | None, applies: bool) -> None:
    assert range_applies(if_range, CURRENT) is applies


@pytest.mark.parametrize(
    "text",
    [EXACT, f"  {EXACT} ", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994", "Sun Nov 06 08:49:37 1994"],
)
def test_the_three_forms_of_a_date(text: str) -> None:
    assert parse_date(text) == MODIFIED


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "0",
        "784111777",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 08:49:37 +0000",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 06 Foo 1994 08:49:37 GMT",
        "Sun, 06 nov 1994 08:49:37 GMT",
        "Sun, 31 Feb 1994 08:49:37 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 0000 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 08:60:37 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 06 Nov 1994 08:49:99 GMT",
        "Sun, 06 Nov 1994 8:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 GMT; length=5",
        "Sun, 0\u0666 Nov 1994 08:49:37 GMT",
        "1994-11-06T08:49:37Z",
    ],
)
def test_what_is_no_date(text: str | None) -> None:
    assert parse_date(text) is None


def test_a_leap_second_is_a_date() -> None:
    assert parse_date("Sat, 31 Dec 2016 23:59:60 GMT") == parse_date("Sat, 31 Dec 2016 23:59:59 GMT")


@pytest.mark.parametrize(
    ("digits", "year"),
    [("94", 1994), ("26", 2026), ("27", 2027), ("76", 2076), ("77", 1977), ("99", 1999), ("00", 2000)],
)
def test_two_digits_mean_the_year_at_most_fifty_ahead(digits: str, year: int) -> None:
    now = datetime(2026, 6, 1, tzinfo=UTC)
    expected = int(datetime(year, 11, 6, 8, 49, 37, tzinfo=UTC).timestamp())
    assert parse_date(f"Sunday, 06-Nov-{digits} 08:49:37 GMT", now) == expected


def test_format_is_the_fixdate_of_the_rfc() -> None:
    assert format_date(MODIFIED) == EXACT
    assert format_date(0) == "Thu, 01 Jan 1970 00:00:00 GMT"


@given(st.integers(-62_135_596_800, 253_402_300_799))
def test_a_date_survives_the_round_trip(seconds: int) -> None:
    assert parse_date(format_date(seconds)) == seconds


@given(
    st.one_of(
        st.text(),
        st.from_regex(r"\A[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT\Z"),
        st.from_regex(r"\A[A-Z][a-z]{5,8}, \d\d-(Jan|Feb)-\d\d \d\d:\d\d:\d\d GMT\Z"),
        st.from_regex(r"\ASun (Feb|Nov) [ \d]\d \d\d:\d\d:\d\d \d{4}\Z"),
    )
)
def test_no_text_makes_the_parser_raise(text: str) -> None:
    assert isinstance(parse_date(text), int | None)


@given(header=st.text(st.characters(max_codepoint=0xFF)), method=st.sampled_from(["GET", "POST"]))
def test_no_header_makes_the_evaluation_raise(header: str, method: str) -> None:
    names = ("If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since")
    for name in names:
        assert evaluate(method, {name: header}, CURRENT) in Outcome
    range_applies(header, CURRENT)

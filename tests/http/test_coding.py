"""RFC 9110 section 12.5.3: what `Accept-Encoding` asks for."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediastream.http.coding import choose, parse

OFFERED = ["zstd", "gzip"]


@pytest.mark.parametrize(
    ("header", "chosen"),
    [
        (None, None),
        ("", None),
        (" , ,", None),
        ("gzip", "gzip"),
        ("GZip", "gzip"),
        ("x-gzip", "gzip"),
        ("zstd", "zstd"),
        ("gzip, deflate, br, zstd", "zstd"),  # as Chromium has it
        ("deflate, gzip, br, zstd", "zstd"),  # as curl has it
        ("gzip, deflate", "gzip"),
        ("br, deflate", None),
        ("identity", None),
        ("*", "zstd"),
        ("*;q=0", None),
        ("zstd;q=0, *", "gzip"),
        ("gzip;q=0.5, zstd;q=0.4", "gzip"),
        ("gzip;q=0.5, zstd;q=0.5", "zstd"),
        ("gzip;q=0.001", "gzip"),
        ("gzip;q=0", None),
        ("gzip;q=0.000", None),
        ("gzip;q=1.000", "gzip"),
        ("gzip;q=1., br", "gzip"),
        ("gzip; Q=0.3\t;q=1", None),  # one weight each
        ("gzip \t; \tq=0.3", "gzip"),
        # None is better than what is liked less.
        ("gzip;q=0.5, identity", None),
        ("gzip;q=0.5, identity;q=0.5", "gzip"),
        ("gzip;q=0.5, identity;q=0.4", "gzip"),
        ("gzip;q=0.5, *;q=0.8", "zstd"),
        ("identity;q=0", None),
        ("gzip, identity;q=0", "gzip"),
        # Named twice
        ("gzip, gzip;q=0", None),
        ("gzip;q=0, x-gzip", None),
        # No such header
        ("gzip;q=2", None),
        ("gzip;q=1.001", None),
        ("gzip;q=0.0001", None),
        ("gzip;q=-1", None),
        ("gzip;q=.5", None),
        ("gzip;q=", None),
        ("gzip;q", None),
        ("gzip;level=9", None),
        ("gzip;q= 1", None),
        ("gzip deflate", None),
        ("gzip,\x0bzstd", None),
        ("gzip, é", None),
        ("gzip\n", None),
        ('"gzip"', None),
    ],
)
def test_choice(header: str | None, chosen: str | None) -> None:
    assert choose(header, OFFERED) == chosen


def test_nothing_offered() -> None:
    assert choose("gzip, *", []) is None


names = st.text(string.ascii_lowercase + string.digits + "-+.", min_size=1, max_size=8).filter(
    lambda name: name not in ("x-gzip", "x-compress")
)
weights = st.one_of(st.none(), st.integers(0, 1000))


@given(st.dictionaries(names, weights, max_size=6), st.sampled_from([",", ", ", " ,\t", ",,"]))
def test_what_is_written_is_read(wanted: dict[str, int | None], between: str) -> None:
    header = between.join(name if q is None else f"{name};q={q / 1000:.3f}" for name, q in wanted.items())
    assert parse(header) == {name: 1 if q is None else q / 1000 for name, q in wanted.items()}


@given(st.text())
def test_no_text_makes_it_fail(header: str) -> None:
    chosen = choose(header, OFFERED)
    assert chosen is None or chosen in header.lower() or "*" in header

"""The table of RFC 9110 section 14, and a second, plainer reading of it for hypothesis to compare with."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediastream.http.ranges import MAX_RANGES, PART_OVERHEAD, Span, Unsatisfiable, select

SIZE = 10_000
HUGE = "9" * 5000  # more digits than int() takes (CVE-2020-10735)
GIB = 1024**3


def pairs(header: str | None, size: int) -> list[tuple[int, int]] | None:
    spans = select(header, size)
    return None if spans is None else [(span.start, span.stop) for span in spans]


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-0", [(0, 1)]),
        ("bytes=0-499", [(0, 500)]),
        ("bytes=500-999", [(500, 1000)]),
        ("bytes=9500-", [(9500, SIZE)]),
        ("bytes=-500", [(9500, SIZE)]),
        ("bytes=0-", [(0, SIZE)]),
        ("bytes=9999-9999", [(9999, SIZE)]),
        ("bytes=0-10000", [(0, SIZE)]),
        ("bytes=9000-99999", [(9000, SIZE)]),
        ("bytes=-99999", [(0, SIZE)]),
        ("bytes=0-0,-1", [(0, 1), (9999, SIZE)]),
        ("bytes=9000-9009,0-9,5000-5009", [(9000, 9010), (0, 10), (5000, 5010)]),
        ("bytes=500-600,601-999", [(500, 601), (601, 1000)]),
        ("bytes=0-1,20000-,5-6", [(0, 2), (5, 7)]),
        ("bytes=0-1,-0", [(0, 2)]),
        # Leading zeros are digits like any other.
        ("bytes=0000000000000000000000000007-08", [(7, 9)]),
        # Empty list members and white space around commas (section 5.6.1).
        ("bytes=,0-1,,  ,\t5-6 ,", [(0, 2), (5, 7)]),
        ("bytes= 0-1 , 5-6", [(0, 2), (5, 7)]),
        ("  bytes=0-1\t", [(0, 2)]),
        ("Bytes=0-1", [(0, 2)]),
        ("BYTES=0-1", [(0, 2)]),
        (f"bytes=0-{HUGE}", [(0, SIZE)]),
        (f"bytes=-{HUGE}", [(0, SIZE)]),
        (f"bytes={'0' * 5000}1-2", [(1, 3)]),
    ],
)
def test_spans_to_send(header: str, expected: list[tuple[int, int]]) -> None:
    assert pairs(header, SIZE) == expected


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "bytes",
        "bytes=",
        "bytes=,",
        "bytes= , ,",
        "bytes=-",
        "bytes=--5",
        "bytes=5",
        "bytes=a-b",
        "bytes=0x1-2",
        "bytes=1.0-2",
        "bytes=+1-2",
        "bytes=-+2",
        "bytes=1 - 2",
        "bytes=1-2-3",
        "bytes=1-2;3-4",
        "bytes=0-1\n,2-3-",
        "bytes =0-1",
        "=0-1",
        "0-1",
        "items=0-1",
        "bytess=0-1",
        "bytes:0-1",
        # One malformed member spoils the set, wherever it stands.
        "bytes=0-1,x",
        "bytes=x,0-1",
        # A last position before the first is invalid, not unsatisfiable.
        "bytes=5-4",
        "bytes=20000-10000",
        "bytes=0-1,5-4",
        f"bytes={HUGE}-0",
        # Digits of other scripts are not DIGIT, though int() and str.isdigit() take them.
        "bytes=\u0661-\u0662",
        "bytes=\u00b2-",
    ],
)
def test_ignored_headers_send_the_whole(header: str | None) -> None:
    assert select(header, SIZE) is None


@pytest.mark.parametrize(
    "header",
    [
        "bytes=10000-",
        "bytes=10000-10001",
        "bytes=20000-30000",
        "bytes=-0",
        "bytes=-000",
        "bytes=10000-,-0",
        f"bytes={HUGE}-",
        f"bytes={HUGE}-{HUGE}",
    ],
)
def test_a_set_wholly_past_the_end_is_refused(header: str) -> None:
    with pytest.raises(Unsatisfiable):
        select(header, SIZE)


def test_an_empty_file_has_a_suffix_but_no_first_byte() -> None:
    """The contract's two answers: no Content-Range can name a span of nothing."""
    with pytest.raises(Unsatisfiable):
        select("bytes=0-", 0)
    with pytest.raises(Unsatisfiable):
        select("bytes=-0", 0)
    assert select("bytes=-5", 0) is None
    assert select("bytes=0-0,-5", 0) is None


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (f"bytes={5 * GIB}-{5 * GIB + 9}", [(5 * GIB, 5 * GIB + 10)]),
        (f"bytes={6 * GIB - 1}-", [(6 * GIB - 1, 6 * GIB)]),
        ("bytes=-1", [(6 * GIB - 1, 6 * GIB)]),
        (f"bytes=-{5 * GIB}", [(GIB, 6 * GIB)]),
    ],
)
def test_offsets_past_4_gib_are_exact(header: str, expected: list[tuple[int, int]]) -> None:
    assert pairs(header, 6 * GIB) == expected


def many(count: int) -> str:
    return "bytes=" + ",".join(f"{1000 * index}-{1000 * index}" for index in range(count))


def test_as_many_parts_as_allowed_and_one_more() -> None:
    spans = select(many(MAX_RANGES), 1_000_000)
    assert spans is not None
    assert len(spans) == MAX_RANGES
    assert select(many(MAX_RANGES + 1), 1_000_000) is None


@pytest.mark.parametrize(
    "header",
    ["bytes=0-,0-", "bytes=0-9999,1-9999", "bytes=0-5000,4000-9999", "bytes=" + "0-," * 3000, "bytes=0-9950,-1"],
)
def test_sets_that_cost_more_than_the_whole_send_the_whole(header: str) -> None:
    assert select(header, SIZE) is None


def test_content_range_names_the_last_byte_inclusive() -> None:
    assert Span(0, 500).content_range(1234) == "bytes 0-499/1234"
    assert Span(0, 500).length == 500


def model(header: str, size: int) -> list[tuple[int, int]] | str | None:
    """Section 14 read again without care for cost: what `select` must agree with on numbers int() takes."""
    match = re.fullmatch(
        r"[bB][yY][tT][eE][sS]=((?:[ \t]*(?:\d+-\d*|-\d+)?[ \t]*,)*[ \t]*(?:\d+-\d*|-\d+)?[ \t]*)", header
    )
    members = [member.strip() for member in match[1].split(",") if member.strip()] if match else []
    if not members:
        return None
    spans: list[tuple[int, int]] = []
    for member in members:
        first, _, last = member.partition("-")
        if first and last and int(last) < int(first):
            return None
        start = int(first) if first else max(size - int(last), 0)
        stop = min(int(last) + 1, size) if first and last else size
        if (first and start < size) or (not first and int(last) > 0):
            spans.append((start, stop))
    if not spans:
        return "unsatisfiable"
    cost = sum(stop - start + PART_OVERHEAD for start, stop in spans)
    return None if size == 0 or (len(spans) > 1 and (len(spans) > MAX_RANGES or cost > size)) else spans


numbers = st.one_of(st.integers(0, 300), st.integers(0, 10**7)).map(str)
specs = st.one_of(
    st.builds("{}-{}".format, numbers, numbers),
    st.builds("{}-".format, numbers),
    st.builds("-{}".format, numbers),
    st.sampled_from(["", " ", "\t", "-", "x", "1"]),
)
sets = st.builds(
    lambda unit, members, comma: f"{unit}=" + comma.join(members),
    st.sampled_from(["bytes", "bytes", "Bytes", "items"]),
    st.lists(specs, max_size=6),
    st.sampled_from([",", ", ", " ,\t"]),
)


@given(header=sets, size=st.one_of(st.integers(0, 400), st.integers(0, 10**8)))
def test_agrees_with_the_model(header: str, size: int) -> None:
    expected = model(header.strip(), size)
    if expected == "unsatisfiable":
        with pytest.raises(Unsatisfiable):
            select(header, size)
    else:
        assert pairs(header, size) == expected


@given(
    header=st.one_of(st.text(), st.text("0123456789-, \t").map("bytes={}".format), sets),
    size=st.one_of(st.integers(0, 200), st.integers(0, 2**63)),
)
def test_any_text_gives_whole_spans_inside_the_content_or_a_refusal(header: str, size: int) -> None:
    try:
        spans = select(header, size)
    except Unsatisfiable:
        return
    assert spans is None or spans
    for span in spans or ():
        assert 0 <= span.start < span.stop <= size

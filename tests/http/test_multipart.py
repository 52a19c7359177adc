"""Framing is checked by a parser that is not ours: the one of Python's email package."""

from email import message_from_bytes, policy
from email.message import Message

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediastream.http.multipart import (
    MIXED_BOUNDARY,
    MIXED_OPENING,
    MIXED_TYPE,
    byteranges_plan,
    byteranges_type,
    mixed_part,
)
from mediastream.http.ranges import Span

BOUNDARY = "0123456789abcdef"


def whole(content: bytes, spans: list[Span], content_type: str = "video/mp4") -> tuple[bytes, int]:
    """The body as a sender puts it together, and the length the plan promised."""
    parts, tail, length = byteranges_plan(BOUNDARY, content_type, spans, len(content))
    return b"".join([head + content[span.start : span.stop] for head, span in parts]) + tail, length


def parsed(body: bytes) -> list[Message]:
    message = message_from_bytes(
        f"Content-Type: {byteranges_type(BOUNDARY)}\r\n\r\n".encode() + body, policy=policy.HTTP
    )
    assert not message.defects
    payload = message.get_payload()
    assert isinstance(payload, list)
    return [part for part in payload if isinstance(part, Message)]


def test_the_exact_bytes_of_two_ranges() -> None:
    body, length = whole(b"0123456789", [Span(0, 2), Span(8, 10)], "text/plain")
    assert body == (
        b"--0123456789abcdef\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/10\r\n\r\n01"
        b"\r\n--0123456789abcdef\r\nContent-Type: text/plain\r\nContent-Range: bytes 8-9/10\r\n\r\n89"
        b"\r\n--0123456789abcdef--\r\n"
    )
    assert length == len(body)


@given(
    content=st.binary(min_size=1, max_size=400),
    cuts=st.lists(st.tuples(st.integers(0, 399), st.integers(1, 400)), min_size=1, max_size=8),
)
def test_a_foreign_parser_finds_the_same_ranges(content: bytes, cuts: list[tuple[int, int]]) -> None:
    spans = [Span(start % len(content), min(start % len(content) + count, len(content))) for start, count in cuts]
    body, length = whole(content, spans)
    assert length == len(body)
    # The email parser reads text by lines, so it checks heads; the bytes between are checked below.
    harmless, _ = whole(b"x" * len(content), spans)
    parts = parsed(harmless)
    assert [part["Content-Range"] for part in parts] == [span.content_range(len(content)) for span in spans]
    assert [part.get_payload(decode=True) for part in parts] == [b"x" * span.length for span in spans]
    for span in spans:
        head = f"Content-Range: {span.content_range(len(content))}\r\n\r\n".encode()
        assert head + content[span.start : span.stop] + f"\r\n--{BOUNDARY}".encode() in body


def test_the_length_counts_offsets_past_4_gib() -> None:
    size = 6 * 1024**3
    parts, tail, length = byteranges_plan(BOUNDARY, "video/mp4", [Span(0, size - 1), Span(size - 1, size)], size)
    assert length == size + sum(len(head) for head, _ in parts) + len(tail)


def test_a_mixed_part_is_whole_and_ends_with_the_next_boundary() -> None:
    """Chromium paints a part when it sees the next boundary; one that came with the next frame costs a frame."""
    assert mixed_part(b"\xff\xd8jpeg\xff\xd9", 1700000000.25) == (
        b"Content-Type: image/jpeg\r\nContent-Length: 8\r\nX-Timestamp: 1700000000.250000\r\n\r\n"
        b"\xff\xd8jpeg\xff\xd9\r\n--frame\r\n"
    )


def test_the_opening_and_the_type_name_the_same_boundary() -> None:
    assert MIXED_TYPE == "multipart/x-mixed-replace; boundary=frame"
    assert f"--{MIXED_BOUNDARY}\r\n".encode() == MIXED_OPENING


@pytest.mark.parametrize(
    ("captured", "told"),
    [(0.0, "0.000000"), (1700000000.0, "1700000000.000000"), (1700000000.123456, "1700000000.123456")],
)
def test_the_time_has_six_decimals_and_no_exponent(captured: float, told: str) -> None:
    assert f"X-Timestamp: {told}\r\n".encode() in mixed_part(b"", captured)


def test_a_run_of_parts_is_one_multipart_message() -> None:
    body = MIXED_OPENING + mixed_part(b"one", 1.0) + mixed_part(b"two", 2.0)
    message = message_from_bytes(f"Content-Type: {MIXED_TYPE}\r\n\r\n".encode() + body, policy=policy.HTTP)
    payload = message.get_payload()
    assert isinstance(payload, list)
    pictures = [part for part in payload if isinstance(part, Message)][:2]
    assert [part.get_payload(decode=True) for part in pictures] == [b"one", b"two"]
    assert [part["Content-Length"] for part in pictures] == ["3", "3"]

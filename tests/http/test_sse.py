"""The event-stream grammar of WHATWG HTML, section 9.2.5, both directions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediastream.http import sse
from mediastream.http.sse import Message, Parser, TooLong

# The first four are the specification's own examples.
GRAMMAR: list[tuple[bytes, list[Message]]] = [
    (b"data: YHOO\ndata: +2\ndata: 10\n\n", [Message("YHOO\n+2\n10")]),
    (
        b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
        [Message("first event", last_id="1"), Message("second event"), Message(" third event")],
    ),
    (b"data\n\ndata\ndata\n\ndata:", [Message(""), Message("\n")]),
    (b"data:test\n\ndata: test\n\n", [Message("test"), Message("test")]),
    (b"data: a\r\n\r\n", [Message("a")]),
    (b"data: a\r\rdata: b\r\r", [Message("a"), Message("b")]),
    (b"data: a\n\r\n", [Message("a")]),
    (b"event: tick\ndata: 1\n\ndata: 2\n\n", [Message("1", "tick"), Message("2")]),
    (b"event: tick\n\ndata: 2\n\n", [Message("2")]),
    (b"id: 7\n\ndata: a\n\n", [Message("a", last_id="7")]),
    (b"id: 7\ndata: a\n\nid: x\0y\ndata: b\n\n", [Message("a", last_id="7"), Message("b", last_id="7")]),
    (b"retry: 10\nretry: 1.5\nretry: \xd9\xa1\ndata: a\n\n", [Message("a")]),
    (b"Data: a\n data: b\ndatax: c\n\n", []),
    (b"\xef\xbb\xbfdata: a\n\n", [Message("a")]),
    (b"data: \xff\n\n", [Message("\ufffd")]),
    ("data: a\u2028b\x85c\x0bd\n\n".encode(), [Message("a\u2028b\x85c\x0bd")]),
    (b"data: unfinished", []),
    (b"data: unfinished\n", []),
    (b"", []),
]


@pytest.mark.parametrize(("stream", "messages"), GRAMMAR)
def test_what_a_stream_says(stream: bytes, messages: list[Message]) -> None:
    assert Parser().feed(stream) == messages


@pytest.mark.parametrize(("stream", "messages"), GRAMMAR)
def test_bytewise(stream: bytes, messages: list[Message]) -> None:
    parser = Parser()
    assert [message for at in range(len(stream)) for message in parser.feed(stream[at : at + 1])] == messages


def test_what_the_stream_says_of_itself() -> None:
    parser = Parser()
    parser.feed(sse.retry(1500) + sse.comment("beat") + sse.position("a:3"))
    assert (parser.retry, parser.last_id) == (1500, "a:3")


FRAMES = [
    (("a",), b"data: a\n\n"),
    (("a\nb\r\nc\rd",), b"data: a\ndata: b\ndata: c\ndata: d\n\n"),
    (("", "tick", "1:2"), b"id: 1:2\nevent: tick\ndata: \n\n"),
    (("a\u2028b",), "data: a\u2028b\n\n".encode()),
]


@pytest.mark.parametrize(("said", "framed"), FRAMES)
def test_how_an_event_is_framed(said: tuple[str, ...], framed: bytes) -> None:
    assert sse.frame(*said) == framed


@pytest.mark.parametrize(("name", "last_id"), [("a\nb", ""), ("a\rb", ""), ("", "1\n"), ("", "1\r"), ("", "a\0")])
def test_what_would_be_read_as_something_else_is_not_framed(name: str, last_id: str) -> None:
    with pytest.raises(ValueError, match=r"no (event|id) of an event"):
        sse.frame("data", name, last_id)


def test_a_comment_of_several_lines_is_one() -> None:
    assert Parser().feed(sse.comment("a\ndata: b\r\n\nid: 1")) == []


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=50)
NAME = TEXT.map(lambda text: "".join(text.splitlines()).replace("\0", ""))
EVENTS = st.lists(st.tuples(TEXT, NAME, NAME), max_size=8)


@given(EVENTS, st.lists(st.integers(1, 40), min_size=1))
def test_round_trip(events: list[tuple[str, str, str]], cuts: list[int]) -> None:
    stream = b"".join(sse.frame(data, name, last_id) for data, name, last_id in events)
    parser, found, at = Parser(), [], 0
    while at < len(stream):
        size = cuts[at % len(cuts)]
        found += parser.feed(stream[at : at + size])
        at += size
    lines = [(data.replace("\r\n", "\n").replace("\r", "\n"), name, last_id) for data, name, last_id in events]
    # A byte order mark at the very start of a stream is none of its text, and ours begin with an id.
    assert found == [Message(data, name or "message", last_id) for data, name, last_id in lines]


@given(st.binary(max_size=200))
def test_anything_is_read_without_a_fault(stream: bytes) -> None:
    whole = Parser().feed(stream)
    parser = Parser()
    assert [message for byte in stream for message in parser.feed(bytes([byte]))] == whole


@pytest.mark.parametrize("piece", [b"x" * 65536, b"data: " + b"x" * 65530 + b"\n"])
def test_an_event_without_an_end_is_given_up(piece: bytes) -> None:
    parser = Parser()
    with pytest.raises(TooLong):
        feed_often(parser, piece)


def feed_often(parser: Parser, piece: bytes) -> None:
    for _ in range(100):
        parser.feed(piece)

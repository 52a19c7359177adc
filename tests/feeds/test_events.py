"""An event in each format, and what is none."""

import json
from typing import Any

import pytest

from mediastream.feeds.events import MOST_BYTES, Entry, Event, EventInvalid, Format, told
from mediastream.http.sse import Message, Parser
from mediastream.http.websocket import text_frame

LINES = ["a\nb", "a\r\nb", "a\rb", "a\u2028b\u2029c\x85d", "", " a", "# not the stream", "x" * 1_000_000]


def entry(data: Any, name: str = "message", key: str = "") -> Entry:
    return Entry(Event(data, name, key, 1.5), "0123abcd", 7)


def test_each_format() -> None:
    said = entry({"price": 1.5, "name": "é"}, "tick", "ACME")
    assert said.framed(Format.SSE).decode() == 'id: 0123abcd:7\nevent: tick\ndata: {"price":1.5,"name":"é"}\n\n'
    line = '{"id":"0123abcd:7","event":"tick","key":"ACME","time":1.500000,"data":{"price":1.5,"name":"é"}}\n'
    assert said.framed(Format.NDJSON).decode() == line
    assert said.framed(Format.SOCKET) is said.framed(Format.NDJSON)
    assert said.framed(Format.TEXT).decode() == '{"price":1.5,"name":"é"}\n'


def test_an_unnamed_event_is_what_onmessage_gets() -> None:
    assert b"event:" not in entry(1).sse
    assert b"key" not in entry(1).line


@pytest.mark.parametrize("text", LINES)
def test_text_of_any_lines(text: str) -> None:
    said = entry(text)
    normal = text.replace("\r\n", "\n").replace("\r", "\n")
    assert Parser().feed(said.sse) == [Message(normal, last_id="0123abcd:7")]
    line = said.line.decode()
    assert line.splitlines() == [line.rstrip("\n")]
    assert json.loads(line)["data"] == text
    assert said.framed(Format.FRAMES) == text_frame(line.rstrip("\n").encode())


@pytest.mark.parametrize(
    ("data", "args"),
    [
        (float("nan"), ()),
        ({"a": {1, 2}}, ()),
        ("\ud800", ()),
        (b"bytes", ()),
        ("x" * MOST_BYTES, ()),
        (1, ("a\nb",)),
        (1, ("a" * 65,)),
        (1, ("a", "b\0")),
        (1, ("a", "b", float("inf"))),
    ],
)
def test_what_is_no_event(data: Any, args: tuple[Any, ...]) -> None:
    with pytest.raises(EventInvalid):
        Event(data, *args)


def test_data_that_refers_to_itself_is_refused() -> None:
    deep: list[Any] = []
    deep.append(deep)
    with pytest.raises(EventInvalid):
        Event(deep)


@pytest.mark.parametrize(
    ("form", "said"),
    [
        (Format.SSE, b'id: a:1\nevent: gap\ndata: {"dropped":3}\n\n'),
        (Format.NDJSON, b'{"id":"a:1","event":"gap","data":{"dropped":3}}\n'),
        (Format.TEXT, b'# gap {"dropped":3}\n'),
    ],
)
def test_what_the_stream_tells(form: Format, said: bytes) -> None:
    assert told(form, "gap", "a:1", dropped=3) == said

"""Server-Sent Events: framing and parsing of `text/event-stream` (WHATWG HTML, section 9.2).

A line ends with CR, LF or both, so text that is framed comes back with LF for each. An event that has an id and no
data is not dispatched, but its id counts: a stream can tell where it stands while it has nothing to say.
"""

import codecs
import re
from dataclasses import dataclass

CONTENT_TYPE = "text/event-stream"
LONGEST = 4 * 1024 * 1024  # characters of one event that a parser takes

# Not str.splitlines: to the format U+2028, U+0085, VT and FF are characters like any other.
_LINE_END = re.compile(r"\r\n|\n|\r")
_NAME = re.compile(r"[^\r\n]*")
_ID = re.compile(r"[^\r\n\0]*")


@dataclass(frozen=True)
class Message:
    """What a client dispatches. `last_id`: the id last seen, this event's or an earlier one's."""

    data: str
    event: str = "message"
    last_id: str = ""


class TooLong(ValueError):
    """A stream whose event does not end."""


def frame(data: str, event: str = "", last_id: str | None = None) -> bytes:
    """One event; an `event` of "" is unnamed. Raises ValueError for a name or an id that no parser would give back."""
    return b"".join((_id_line(last_id), _field("event", event, _NAME) if event else b"", _data(data), b"\n"))


def position(last_id: str) -> bytes:
    """An event that is not dispatched, and says how far the stream has come. Raises ValueError."""
    return _id_line(last_id) + b"\n"


def comment(text: str = "") -> bytes:
    """Bytes that mean nothing, and keep proxies from taking the stream for dead."""
    return b"".join(b":" + line.encode() + b"\n" for line in _LINE_END.split(text)) + b"\n"


def retry(milliseconds: int) -> bytes:
    """After how long a client that has lost the stream is to come again."""
    return b"retry: %d\n\n" % milliseconds


def _data(data: str) -> bytes:
    return b"".join(b"data: " + line.encode() + b"\n" for line in _LINE_END.split(data))


def _id_line(last_id: str | None) -> bytes:
    return b"" if last_id is None else _field("id", last_id, _ID)


def _field(name: str, value: str, form: re.Pattern[str]) -> bytes:
    if form.fullmatch(value) is None:
        raise ValueError(f"no {name} of an event: {value!r}")
    return f"{name}: {value}\n".encode()


class Parser:
    """Messages out of bytes, however they are cut. `last_id`, `retry` (milliseconds): as last said by the stream.

    What follows the last blank line when the stream ends is no event, and never given.
    """

    def __init__(self) -> None:
        self.last_id = ""
        self.retry: int | None = None
        # "utf-8-sig" drops one byte order mark at the start, as the specification says.
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
        self._text = ""
        self._after_cr = False
        self._id = self._event = ""
        self._data: list[str] = []
        self._size = 0

    def feed(self, chunk: bytes) -> list[Message]:
        """The messages that are whole now. Raises TooLong."""
        text = self._decoder.decode(chunk)
        if self._after_cr and text:
            self._after_cr = False
            text = text.removeprefix("\n")
        self._after_cr = text.endswith("\r") or (self._after_cr and not text)
        *lines, self._text = _LINE_END.split(self._text + text)
        if self._size + len(self._text) > LONGEST:
            raise TooLong(f"an event of over {LONGEST} characters")
        return [message for line in lines if (message := self._line(line)) is not None]

    def _line(self, line: str) -> Message | None:
        if not line:
            return self._dispatch()
        name, _, value = line.partition(":")
        self._take(name, value.removeprefix(" "))
        return None

    def _take(self, name: str, value: str) -> None:
        if name == "data":
            self._data.append(value)
            self._size += len(value)
            if self._size > LONGEST:
                raise TooLong(f"an event of over {LONGEST} characters")
        elif name == "event":
            self._event = value
        elif name == "id" and "\0" not in value:
            self._id = value
        elif name == "retry" and value.isascii() and value.isdigit() and len(value) < 10:
            self.retry = int(value)

    def _dispatch(self) -> Message | None:
        self.last_id = self._id
        data, event = self._data, self._event
        self._data, self._event, self._size = [], "", 0
        return Message("\n".join(data), event or "message", self.last_id) if data else None

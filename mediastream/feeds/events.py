"""An event as it is published, and as it stands in its topic: encoded once, framed once for each format.

| format | an event |
|---|---|
| SSE | `id`, `event` unless unnamed, `data`: text as it is, anything else as JSON |
| NDJSON, WebSocket | one object: `id`, `event`, `key` if it has one, `time`, `data` |
| frames | the same as a WebSocket's message, framed |
| text | the data in a line; text as it is |

What the stream itself has to tell, `gap` and `reset`, comes as events of these names, in text as a line that begins
with `# `.
"""

import json
import math
import time
from enum import Enum
from functools import cached_property
from typing import Any

from mediastream.errors import BadInput
from mediastream.http import sse
from mediastream.http.websocket import text_frame

MOST_BYTES = 1024 * 1024  # of one event's data, encoded
MOST_NAME = 64  # characters of an event's name, and of a key
UNNAMED = "message"  # what clients call an event without a name
RETRACT = "retract"  # an event of this name takes back what was said under its key: history.py


class Format(Enum):
    """How a stream of events is written. The value is its content type; a WebSocket has none. It takes lines where
    the server frames each of them, and frames where they are written to the connection."""

    SSE = sse.CONTENT_TYPE
    NDJSON = "application/x-ndjson"
    TEXT = "text/plain; charset=utf-8"
    SOCKET = ""
    FRAMES = "frames"


class EventInvalid(BadInput):
    """What was to be published is no event; the detail says why."""


class Event:
    """`data`: what JSON has; `key`: what it is about, such as a symbol; `time`: Unix seconds, now if None.

    Raises EventInvalid.
    """

    __slots__ = ("data", "json", "key", "name", "time")

    def __init__(self, data: Any, name: str = UNNAMED, key: str = "", at: float | None = None) -> None:
        self.data = data
        self.name = _word("name", name) or UNNAMED
        self.key = _word("key", key)
        self.time = time.time() if at is None else at
        if not math.isfinite(self.time):
            raise EventInvalid("The time of an event is a number of seconds.")
        self.json = _encoded(data)


def retraction(key: str) -> Event:
    """What was said under this key holds no longer, and nobody is to be told it again."""
    return Event({"key": key}, RETRACT, key)


class Entry:
    """An event at its place in a topic. Each format is made when it is first asked for, and then shared by all."""

    def __init__(self, event: Event, epoch: str, sequence: int) -> None:
        self.key = event.key
        self.sequence = sequence
        self.size = len(event.json)
        self.event = event
        self.epoch = epoch
        self._cursor = f"{epoch}:{sequence}"

    def framed(self, form: Format) -> bytes:
        if form is Format.SSE:
            return self.sse
        if form is Format.TEXT:
            return self.text
        return self.message if form is Format.FRAMES else self.line

    @cached_property
    def sse(self) -> bytes:
        event = self.event
        data = event.data if isinstance(event.data, str) else event.json
        return sse.frame(data, "" if event.name == UNNAMED else event.name, self._cursor)

    @cached_property
    def line(self) -> bytes:
        """Of NDJSON, and what a WebSocket's message says."""
        event = self.event
        key = f'"key":{_json(event.key)},' if event.key else ""
        head = f'{{"id":"{self._cursor}","event":{_json(event.name)},{key}"time":{event.time:.6f},"data":'
        return f"{head}{event.json}}}\n".encode()

    @cached_property
    def message(self) -> bytes:
        return text_frame(self.line.removesuffix(b"\n"))

    @cached_property
    def text(self) -> bytes:
        event = self.event
        return f"{event.data if isinstance(event.data, str) else event.json}\n".encode()


def told(form: Format, name: str, cursor: str | None = None, **data: Any) -> bytes:
    """Something the stream itself says. `cursor`: where it stands then."""
    if form is Format.SSE:
        return sse.frame(_json(data), name, cursor)
    if form is Format.TEXT:
        return f"# {name} {_json(data)}\n".encode()
    head = {"id": cursor} if cursor is not None else {}
    line = _json({**head, "event": name, "data": data}).encode()
    return text_frame(line) if form is Format.FRAMES else line + b"\n"


def _word(what: str, text: str) -> str:
    if not isinstance(text, str) or len(text) > MOST_NAME or (text and not text.isprintable()):
        raise EventInvalid(f"The {what} of an event is printable text of up to {MOST_NAME} characters.")
    return text


def _encoded(data: Any) -> str:
    """Raises EventInvalid."""
    try:
        encoded = _json(data)
        size = len(encoded.encode())
    except UnicodeEncodeError:
        raise EventInvalid("The data of an event holds half of a surrogate pair, which is no text.") from None
    except (TypeError, ValueError, RecursionError) as fault:
        raise EventInvalid(f"The data of an event is what JSON has: {fault}.") from None
    if size > MOST_BYTES:
        raise EventInvalid(f"An event of {size} bytes is over the {MOST_BYTES} that one may have.")
    return encoded


def _json(data: Any) -> str:
    """Compact, and one line to whoever splits lines: these three stand in strings alone, where they may be escaped."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    if text.isascii():
        return text
    return text.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029").replace("\x85", "\\u0085")

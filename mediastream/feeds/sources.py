"""Where a topic's events come from, as an administrator typed it, parsed strictly into a value."""

from dataclasses import dataclass
from enum import Enum
from urllib.parse import urlsplit

SIMULATOR = "simulator"


class Kind(Enum):
    SIMULATOR = "simulator"
    SOCKET = "websocket"
    EVENTS = "event stream"
    POLLED = "polled JSON"


_SCHEMES = {
    "ws": Kind.SOCKET, "wss": Kind.SOCKET,
    "sse+http": Kind.EVENTS, "sse+https": Kind.EVENTS,
    "http": Kind.POLLED, "https": Kind.POLLED,
}  # fmt: skip


@dataclass(frozen=True)
class Source:
    """`url`: what to open; "" for the simulator."""

    kind: Kind
    url: str = ""


class SourceInvalid(ValueError):
    """It is none; the text says why."""


def parse(text: str) -> Source | None:
    """None: the topic has no source, its events are published. Raises SourceInvalid."""
    if text == "":
        return None
    if text == SIMULATOR:
        return Source(Kind.SIMULATOR)
    if not text.isprintable() or " " in text:
        raise SourceInvalid("an address has no spaces")
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError as fault:
        raise SourceInvalid(str(fault)) from None
    kind = _SCHEMES.get(parts.scheme)
    if kind is None:
        raise SourceInvalid(f"it is neither {SIMULATOR} nor an address that begins with {', '.join(_SCHEMES)}")
    if not parts.hostname:
        raise SourceInvalid("the address names no host")
    return Source(kind, text.removeprefix("sse+"))

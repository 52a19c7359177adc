"""Times in addresses, parsed strictly: Unix seconds, or ISO 8601 with its offset from UTC."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from mediastream.errors import BadInput
from mediastream.live.recording.names import LATEST

LONGEST = 86_400_000  # milliseconds of one span
_UNIX = re.compile(r"(\d{1,10})(?:\.(\d{1,6}))?", re.ASCII)
_ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def parse(name: str, text: str) -> int:
    """Unix milliseconds. Raises BadInput, which names the parameter."""
    moment = _unix(text) if _UNIX.fullmatch(text) else _iso(text)
    if moment is None or not 0 <= moment <= LATEST:
        raise BadInput(
            f"{name} is a time: Unix seconds such as 1795371948.5, or 2026-11-22T18:25:48Z; "
            "a + in the offset is written %2B in an address."
        )
    return moment


def span(query: Mapping[str, str]) -> tuple[int, int]:
    """`from` and `to` as Unix milliseconds. Raises BadInput."""
    start, end = (parse(name, query.get(name, "")) for name in ("from", "to"))
    return checked(start, end)


def checked(start: int, end: int) -> tuple[int, int]:
    if not 0 < end - start <= LONGEST:
        raise BadInput(f"to is later than from, by {LONGEST // 3_600_000} hours at most.")
    return start, end


def _unix(text: str) -> int:
    seconds, _, rest = text.partition(".")
    return int(seconds) * 1000 + int(rest[:3].ljust(3, "0"))


def _iso(text: str) -> int | None:
    if _ISO.fullmatch(text) is None:
        return None
    try:
        return (datetime.fromisoformat(text) - _EPOCH) // timedelta(milliseconds=1)
    except (ValueError, OverflowError):
        return None

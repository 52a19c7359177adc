"""Conditional requests: RFC 9110 sections 8.8 and 13, decided purely.

Section 13.2.2 fixes the order: If-Match, else If-Unmodified-Since; then If-None-Match, else
If-Modified-Since; then Range with If-Range. A date that cannot be parsed is no condition at all.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from functools import lru_cache


@dataclass(frozen=True, slots=True)
class Validators:
    """What identifies one representation: a strong entity-tag with its quotes, and Unix seconds."""

    etag: str
    modified: int


class Outcome(Enum):
    """What the preconditions ask for; the values are the statuses."""

    PROCEED = 200
    NOT_MODIFIED = 304
    FAILED = 412


def evaluate(method: str, headers: Mapping[str, str], current: Validators) -> Outcome:
    """Apply the preconditions in `headers` (any case-insensitive mapping) to the current representation."""
    if (if_match := headers.get("If-Match")) is not None:
        if not _matches(if_match, current.etag, weak=False):
            return Outcome.FAILED
    elif (since := parse_date(headers.get("If-Unmodified-Since"))) is not None and current.modified > since:
        return Outcome.FAILED
    reading = method in ("GET", "HEAD")
    if (if_none_match := headers.get("If-None-Match")) is not None:
        if _matches(if_none_match, current.etag, weak=True):
            return Outcome.NOT_MODIFIED if reading else Outcome.FAILED
    elif reading and (since := parse_date(headers.get("If-Modified-Since"))) is not None and current.modified <= since:
        return Outcome.NOT_MODIFIED
    return Outcome.PROCEED


def range_applies(if_range: str | None, current: Validators) -> bool:
    """Section 13.1.5: the Range counts only if If-Range names exactly this representation.

    A weak tag never does. A date must be the very one: our stored content never changes under a name,
    so its date is a strong validator (section 8.8.2.2).
    """
    if if_range is None:
        return True
    if_range = if_range.strip()
    if if_range.startswith(('"', "W/")):
        return if_range == current.etag
    return parse_date(if_range) == current.modified


# etagc = %x21 / %x23-7E / obs-text. No escapes: a backslash is a character like any other (section 8.8.3).
_TAG = r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'
_TAG_LIST = re.compile(rf"[ \t,]*{_TAG}(?:[ \t]*,[ \t,]*{_TAG})*[ \t,]*")
_TAGS = re.compile(_TAG)


def _matches(listed: str, etag: str, *, weak: bool) -> bool:
    """Whether a list of entity-tags, or `*`, names `etag`. A malformed list names nothing."""
    listed = listed.strip()
    if listed == "*":
        return True
    if _TAG_LIST.fullmatch(listed) is None:
        return False
    tags = _TAGS.findall(listed)
    return any((tag.removeprefix("W/") if weak else tag) == etag for tag in tags)


_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_TIME = r"(?P<hour>\d{2}):(?P<minute>\d{2}):(?P<second>\d{2})"
_DATES = tuple(
    re.compile(pattern, re.ASCII)
    for pattern in (
        rf"[A-Z][a-z]{{2}}, (?P<day>\d{{2}}) (?P<month>[A-Z][a-z]{{2}}) (?P<year>\d{{4}}) {_TIME} GMT",
        rf"[A-Z][a-z]{{5,8}}, (?P<day>\d{{2}})-(?P<month>[A-Z][a-z]{{2}})-(?P<year>\d{{2}}) {_TIME} GMT",
        rf"[A-Z][a-z]{{2}} (?P<month>[A-Z][a-z]{{2}}) (?P<day>[ \d]\d) {_TIME} (?P<year>\d{{4}})",
    )
)


def parse_date(text: str | None, now: datetime | None = None) -> int | None:
    """An HTTP-date in its three forms (section 5.6.7) as Unix seconds; None if it is not one.

    A two-digit year more than 50 years ahead of `now` is of the century before.
    """
    match = next((match for form in _DATES if text is not None and (match := form.fullmatch(text.strip()))), None)
    if match is None or match["month"] not in _MONTHS:
        return None
    year = int(match["year"])
    if len(match["year"]) == 2:
        this_year = (now or datetime.now(UTC)).year
        year += this_year - this_year % 100
        year -= 100 if year > this_year + 50 else 0
    month = _MONTHS.index(match["month"]) + 1
    second = int(match["second"])
    second -= second == 60  # a leap second is within the grammar, not within datetime
    try:
        parsed = datetime(year, month, int(match["day"]), int(match["hour"]), int(match["minute"]), second, tzinfo=UTC)
    except ValueError:
        return None
    return int(parsed.timestamp())


_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


@lru_cache(1024)
def format_date(seconds: int) -> str:
    """Unix seconds as an IMF-fixdate, whatever the locale."""
    when = datetime.fromtimestamp(seconds, UTC)
    return f"{_DAYS[when.weekday()]}, {when.day:02} {_MONTHS[when.month - 1]} {when.year:04} {when:%H:%M:%S} GMT"

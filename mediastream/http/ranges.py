"""The Range header of RFC 9110 section 14, decided purely: header and size in, byte spans out.

    Range = range-unit "=" 1#range-spec
    range-spec = first-pos "-" [ last-pos ] / "-" suffix-length

What section 14.2 leaves open is decided so: an unknown unit, a malformed set, a last position before
its first, or a set that would cost more than the whole is ignored and the whole is sent (200), because
a client must cope with that anyway; a set with no satisfiable member is refused (416).
"""

import re
from dataclasses import dataclass

MAX_RANGES = 64  # parts in one answer; players ask for one, PDF readers for a dozen
PART_OVERHEAD = 80  # bytes of framing RFC 9110 section 14.2 names as what makes close ranges wasteful

_SPEC = re.compile(r"([0-9]*)-([0-9]*)")
# Positions are 1*DIGIT without a bound; past this many digits any number is "beyond the end".
_DIGITS = 19


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes `start` up to, not including, `stop`."""

    start: int
    stop: int

    @property
    def length(self) -> int:
        return self.stop - self.start

    def content_range(self, size: int) -> str:
        """The Content-Range value of section 14.4."""
        return f"bytes {self.start}-{self.stop - 1}/{size}"


@dataclass(frozen=True, slots=True)
class Spec:
    """One member as asked for: `first-last`, `first-` (last None) or `-suffix` (first None)."""

    first: int | None
    last: int | None

    def resolve(self, size: int) -> Span | None:
        """The span it means in `size` bytes; None if it is not satisfiable (section 14.1.2)."""
        if self.first is None:
            suffix = min(self.last or 0, size)
            return Span(size - suffix, size) if self.last else None
        if self.first >= size:
            return None
        return Span(self.first, size if self.last is None else min(self.last + 1, size))


class Unsatisfiable(Exception):
    """No member of the set overlaps the content: 416."""


def parse(header: str) -> tuple[Spec, ...] | None:
    """The members of a Range header in the order asked; None if the header is to be ignored."""
    unit, equals, listed = header.strip().partition("=")
    if not equals or unit.lower() != "bytes":
        return None
    members = [member.strip(" \t") for member in listed.split(",")]
    specs = [_parse_spec(member) for member in members if member]  # section 5.6.1: empty members do not count
    if not specs or any(spec is None for spec in specs):
        return None
    return tuple(spec for spec in specs if spec is not None)


def _parse_spec(member: str) -> Spec | None:
    match = _SPEC.fullmatch(member)
    if match is None or member == "-":
        return None
    first, last = (_number(digits) for digits in match.groups())
    if first is not None and last is not None and last < first:
        return None
    return Spec(first, last)


def _number(digits: str) -> int | None:
    """A position of any length. int() refuses thousands of digits (CVE-2020-10735), so long ones are clamped.

    Clamping keeps the order of two positions but for two that are both past every size there is.
    """
    if not digits:
        return None
    digits = digits.lstrip("0") or "0"
    return int(digits) if len(digits) <= _DIGITS else 10**_DIGITS


def select(header: str | None, size: int) -> tuple[Span, ...] | None:
    """The spans to send of content with `size` bytes; None means all of it, as a plain 200.

    Raises Unsatisfiable for 416.
    """
    specs = parse(header) if header is not None else None
    if specs is None:
        return None
    spans = tuple(span for spec in specs if (span := spec.resolve(size)) is not None)
    if not spans:
        raise Unsatisfiable
    if size == 0:
        return None  # a suffix of nothing is satisfiable, but no Content-Range can say so
    if len(spans) > 1 and _wasteful(spans, size):
        return None
    return spans


def _wasteful(spans: tuple[Span, ...], size: int) -> bool:
    """Whether the parts cost more than the whole: the denial of service of CVE-2011-3192."""
    return len(spans) > MAX_RANGES or sum(span.length + PART_OVERHEAD for span in spans) > size

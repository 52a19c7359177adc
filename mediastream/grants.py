"""What a worker may answer by itself for a moment: further ranges of a file it has just been let in to.

A player asks for range after range of one file, on one connection or several, with requests that differ in
their Range alone. The first goes the whole way: URL, view, access, conditions. If its answer was a range of
a local file, the same request with another range means the same file under the same headers; so the worker
gets a Grant, and for up to a second answers it without asking again. It stands only while the rows that the
right was read from are still the ones this process knows (rows.py), which a notice or the next look at the
database changes at once.
"""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from mediastream.http import ranges
from mediastream.openfile import OpenFile
from mediastream.streams import Label

LIFE = 1.0  # seconds

_ONE_RANGE = re.compile(rb"bytes=(?:[0-9]{1,18}-[0-9]{0,18}|-[0-9]{1,18})")


@dataclass(frozen=True, slots=True, eq=False)
class Grant:
    """`head`: the header lines of the answer, but for its Content-Range and Content-Length; `holds`: whether
    a stream may go on, and `whose` right it is by; `unchanged`: whether the rows are still those it was granted by.
    None: nothing can change."""

    file: OpenFile
    head: bytes
    label: Label
    holds: Callable[[], bool] | None
    unchanged: Callable[[], bool] | None
    until: float
    whose: int | None = None

    def stands(self) -> bool:
        return time.monotonic() < self.until and (self.unchanged is None or self.unchanged())

    def span(self, wanted: bytes) -> ranges.Span | None:
        """The one span that a Range value means; None for whatever else it may be: that goes the whole way."""
        if _ONE_RANGE.fullmatch(wanted) is None:
            return None
        try:
            spans = ranges.select(wanted.decode("ascii"), self.file.size)
        except ranges.Unsatisfiable:
            return None
        return spans[0] if spans else None

    def header(self, span: ranges.Span) -> bytes:
        """The header lines of the answer for this span."""
        return b"%bContent-Range: %b\r\nContent-Length: %d\r\n" % (
            self.head, span.content_range(self.file.size).encode("ascii"), span.length,
        )  # fmt: skip

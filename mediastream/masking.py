"""What the log does not show: tickets.

A ticket may travel in an address (tickets.py), and addresses get into log lines in more ways than can be counted:
an access log, a development server's line for each request, a fault's message, a traceback. So it is masked where
a line is made, whoever has written it.
"""

import logging
import re
import time

# As a parameter or a cookie, good or not; and one that stands alone, its colons quoted or not.
_NAMED = re.compile(r"""(ticket(?:=|%3D))[^\s&;"'<>]+""", re.IGNORECASE)
_ALONE = re.compile(r"[0-9]{1,18}(:|%3A)[0-9a-f]{16}(:|%3A)[0-9]{1,12}(:|%3A)[0-9a-f]{40}", re.IGNORECASE)
_LAST_PART = re.compile(r"[:Aa][0-9A-Fa-f]{40}")  # which is searched for in a third of the time that _ALONE takes
MASK = "***"


def masked(text: str) -> str:
    if "ticket" in text.lower():
        text = _NAMED.sub(rf"\g<1>{MASK}", text)
    return _ALONE.sub(MASK, text) if _LAST_PART.search(text) else text


class Formatter(logging.Formatter):
    """logging.Formatter, with tickets masked in what comes out, tracebacks included, and each second written once: a
    thousand streams that start in one are a thousand lines."""

    _second = -1, ""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802
        if datefmt is not None or not self.default_msec_format:
            return super().formatTime(record, datefmt)
        second, text = self._second
        if second != int(record.created):
            second = int(record.created)
            text = time.strftime(self.default_time_format, self.converter(second))
            self._second = second, text  # at once: other threads log, too
        return self.default_msec_format % (text, record.msecs)

    def format(self, record: logging.LogRecord) -> str:
        return masked(super().format(record))

"""What the log does not show: tickets.

A ticket may travel in an address (tickets.py), and addresses get into log lines in more ways than can be counted:
an access log, a development server's line for each request, a fault's message, a traceback. So it is masked where
a line is made, whoever has written it.
"""

import logging
import re

# As a parameter or a cookie, good or not; and one that stands alone, its colons quoted or not.
_NAMED = re.compile(r"""(ticket(?:=|%3D))[^\s&;"'<>]+""", re.IGNORECASE)
_ALONE = re.compile(r"[0-9]{1,18}(:|%3A)[0-9a-f]{16}(:|%3A)[0-9]{1,12}(:|%3A)[0-9a-f]{40}", re.IGNORECASE)
MASK = "***"


def masked(text: str) -> str:
    return _ALONE.sub(MASK, _NAMED.sub(rf"\g<1>{MASK}", text))


class Formatter(logging.Formatter):
    """logging.Formatter, with tickets masked in what comes out, tracebacks included."""

    def format(self, record: logging.LogRecord) -> str:
        return masked(super().format(record))

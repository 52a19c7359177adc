"""The last lines a child said: all that is kept of its stderr, however much that is. Pure."""

import re
from collections import deque

LINES = 40
LINE_BYTES = 500
_LINE_ENDS = re.compile(rb"[\r\n]+")


class Tail:
    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=LINES)
        self._rest = b""

    def __str__(self) -> str:
        return "\n".join(self._lines)

    def feed(self, data: bytes) -> None:
        # A line cut in two would hide what last_words must recognise: an address with a password.
        *lines, rest = _LINE_ENDS.split(self._rest + data)
        for line in lines:
            self._keep(line)
        self._rest = rest[:LINE_BYTES]

    def end(self) -> None:
        """No more will come: what has no end of its own is a line, too."""
        self._keep(self._rest)
        self._rest = b""

    def _keep(self, line: bytes) -> None:
        if line.strip():
            self._lines.append(line[:LINE_BYTES].decode(errors="replace"))

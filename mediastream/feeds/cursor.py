"""Where a reader of a topic stands: `epoch:sequence`, such as `1f0c93ab:1042`.

The sequence counts the topic's events. The epoch is made by chance when a process opens the topic, so that a cursor
from before a restart is known for one of another count, and never taken for a place in this one.
"""

import re
import secrets
from dataclasses import dataclass

_FORM = re.compile(r"([0-9a-f]{8}):(0|[1-9][0-9]{0,14})")


@dataclass(frozen=True)
class Cursor:
    epoch: str
    sequence: int

    def __str__(self) -> str:
        return f"{self.epoch}:{self.sequence}"


def parse(text: str) -> Cursor | None:
    """None: it is none of ours."""
    match = _FORM.fullmatch(text)
    return Cursor(match[1], int(match[2])) if match is not None else None


def new_epoch() -> str:
    return secrets.token_hex(4)

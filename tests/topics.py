"""Topics as a reader under WSGI gets them, in the process of the tests."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from mediastream import homeloop
from mediastream.feeds import hub, running

if TYPE_CHECKING:
    from tests.core.test_wsgi import Call


def lines_of(call: "Call") -> Iterator[dict[str, Any]]:
    """What is said after `open`."""
    lines = (json.loads(line) for chunk in call.result for line in chunk.splitlines() if line)
    assert next(lines)["event"] == "open"
    return lines


def close_topics() -> None:
    """All that a view has begun to serve, on the home loop of a process without a lifespan."""
    homeloop.call(running.close_all(), 10)
    homeloop.call(hub.close_all(), 10)

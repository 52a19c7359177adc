import asyncio
from collections.abc import AsyncIterator

import pytest

from mediastream import homeloop
from mediastream.feeds import hub, relay, running
from tests.topics import close_topics


@pytest.fixture
async def serving() -> AsyncIterator[None]:
    """This process holds topics, on the test's own loop."""
    await asyncio.to_thread(close_what_serves)
    home, homeloop._home = homeloop._home, None
    homeloop.adopt()
    await hub.serve()
    yield
    await running.close_all()
    await hub.close_all()
    homeloop._home = home


def close_what_serves() -> None:
    """What a view of another test has begun, on the home loop or on one that has ended."""
    if hub.serves():
        close_topics()
    hub._serving = hub._member = None
    running._running.clear()
    running._ending.clear()
    for left in relay._folder().glob("*.sock"):
        left.unlink()

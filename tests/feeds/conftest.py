import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from mediastream import homeloop
from mediastream.feeds import hub, relay, running


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
        homeloop.call(running.close_all(), 10)
        homeloop.call(hub.close_all(), 10)
    hub._serving = hub._member = None
    running._running.clear()
    running._ending.clear()
    for left in relay._folder().glob("*.sock"):
        left.unlink()


@pytest.fixture
def closed_after() -> Iterator[None]:
    """For tests in which a view has begun to serve, on the home loop of a process without one."""
    yield
    homeloop.call(running.close_all(), 10)
    homeloop.call(hub.close_all(), 10)

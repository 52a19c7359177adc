from collections.abc import AsyncIterator, Iterator

import pytest

from mediastream import homeloop
from mediastream.feeds import hub, running


@pytest.fixture
async def serving() -> AsyncIterator[None]:
    """This process holds topics, on the test's own loop."""
    home, homeloop._home = homeloop._home, None
    homeloop.adopt()
    await hub.serve()
    yield
    await running.close_all()
    await hub.close_all()
    homeloop._home = home


@pytest.fixture
def closed_after() -> Iterator[None]:
    """For tests in which a view has begun to serve, on the home loop of a process without one."""
    yield
    homeloop.call(running.close_all(), 10)
    homeloop.call(hub.close_all(), 10)

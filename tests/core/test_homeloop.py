"""Work comes home from any loop and any thread; who gives up takes the work with it."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

from mediastream import homeloop

DEADLINE = 20.0  # seconds


@pytest.fixture(autouse=True)
def no_home(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A process that has not used its home loop yet; the loop a test started ends with it."""
    monkeypatch.setattr(homeloop, "_home", None)
    yield
    started = homeloop._home
    if started is not None and started.is_running():
        started.call_soon_threadsafe(started.stop)
        for thread in threading.enumerate():
            if thread.name == "home-loop":
                thread.join(0.2)
        if not started.is_running():
            started.close()


async def where() -> asyncio.AbstractEventLoop:
    await asyncio.sleep(0)
    return asyncio.get_running_loop()


async def test_on_the_adopted_loop_work_runs_in_place() -> None:
    homeloop.adopt()
    assert homeloop.home() is asyncio.get_running_loop()
    assert await homeloop.run(where()) is asyncio.get_running_loop()
    homeloop._home = None  # the test's loop is not ours to stop


async def test_without_a_server_the_home_is_a_loop_of_its_own() -> None:
    home = await homeloop.run(where())
    assert home is homeloop.home()
    assert home is not asyncio.get_running_loop()


def test_short_lived_loops_share_one_home() -> None:
    """Async views under WSGI get a loop for one call; what they open must outlast it."""
    assert asyncio.run(homeloop.run(where())) is asyncio.run(homeloop.run(where()))


def test_threads_share_one_home_also_at_its_first_use() -> None:
    found: list[asyncio.AbstractEventLoop] = []
    together = threading.Barrier(8)

    def work() -> None:
        together.wait(DEADLINE)
        found.append(homeloop.call(where(), DEADLINE))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
    assert len(found) == 8
    assert set(found) == {homeloop.home()}


def test_a_closed_home_is_replaced() -> None:
    async def adopt() -> None:
        homeloop.adopt()

    asyncio.run(adopt())
    assert homeloop._home is not None
    assert homeloop._home.is_closed()
    assert homeloop.call(where(), DEADLINE) is homeloop.home()


async def fail() -> None:
    raise LookupError("as it was raised")


async def test_errors_come_back_as_they_were_raised() -> None:
    with pytest.raises(LookupError, match="as it was raised"):
        await homeloop.run(fail())
    with pytest.raises(LookupError, match="as it was raised"):
        await asyncio.to_thread(homeloop.call, fail())


class Sleeper:
    """Work without an end that tells how it ended."""

    def __init__(self) -> None:
        self.started = threading.Event()
        self.cancelled = threading.Event()

    async def sleep(self) -> None:
        self.started.set()
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise


def test_a_call_past_its_deadline_cancels_the_work() -> None:
    sleeper = Sleeper()
    with pytest.raises(TimeoutError):
        homeloop.call(sleeper.sleep(), 0.1)
    assert sleeper.started.is_set()
    assert sleeper.cancelled.wait(DEADLINE)


async def test_cancelling_the_caller_cancels_the_work() -> None:
    sleeper = Sleeper()
    running = asyncio.create_task(homeloop.run(sleeper.sleep()))
    assert await asyncio.to_thread(sleeper.started.wait, DEADLINE)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await asyncio.to_thread(sleeper.cancelled.wait, DEADLINE)

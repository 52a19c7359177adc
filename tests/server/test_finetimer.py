"""A wait shorter than the loops' own, on both of them."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from mediastream.server import finetimer
from mediastream.server.finetimer import FineTimer
from tests.exhaustion import open_descriptors

Main = Callable[[], Coroutine[Any, Any, None]]
Run = Callable[[Main], None]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    def run(main: Main) -> None:
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(main())

    return run


@pytest.fixture(params=["its own", "the loop's"])
def timer_of(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> type[FineTimer]:
    """The second is where the kernel has no descriptor to give."""
    if request.param == "the loop's":
        monkeypatch.setattr(finetimer, "_create", lambda clock, flags: -1)
    return FineTimer


def test_it_calls_once_for_each_start(run: Run, timer_of: type[FineTimer]) -> None:
    async def main() -> None:
        called: list[float] = []
        loop = asyncio.get_running_loop()
        timer = timer_of(lambda: called.append(loop.time()))
        for count in (1, 2):
            started = loop.time()
            timer.start(0.002)
            async with asyncio.timeout(10):
                while len(called) < count:
                    await asyncio.sleep(0.001)
            await asyncio.sleep(0.02)
            assert len(called) == count
            assert called[-1] - started >= 0.001  # uvloop's clock counts whole milliseconds
        timer.close()

    run(main)


def test_a_closed_one_calls_nobody_and_holds_no_descriptor(run: Run, timer_of: type[FineTimer]) -> None:
    async def main() -> None:
        called: list[bool] = []
        await asyncio.sleep(0)
        before = open_descriptors()
        timer = timer_of(lambda: called.append(True))
        timer.start(0.005)
        timer.close()
        timer.close()
        assert open_descriptors() == before
        await asyncio.sleep(0.03)
        assert called == []

    run(main)


def test_its_callback_may_start_or_close_it(run: Run, timer_of: type[FineTimer]) -> None:
    async def main() -> None:
        ended = asyncio.Event()
        called: list[bool] = []

        def callback() -> None:
            called.append(True)
            if len(called) < 3:
                timer.start(0.0003)
            else:
                timer.close()
                ended.set()

        timer = timer_of(callback)
        timer.start(0.0003)
        async with asyncio.timeout(10):
            await ended.wait()
        assert len(called) == 3

    run(main)

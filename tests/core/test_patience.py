"""One timer for many awaits: who is late is told, who is not is left alone."""

import asyncio
from contextlib import closing

import pytest

from mediastream.patience import Patience


async def test_one_that_lasts_too_long() -> None:
    with closing(Patience(0.05)) as patience:
        for _ in range(3):
            with patience:
                await asyncio.sleep(0)
        with pytest.raises(TimeoutError), patience:
            await asyncio.sleep(60)
        task = asyncio.current_task()
        assert task is not None
        assert not task.cancelling()
        with patience:  # as good as new
            await asyncio.sleep(0)


async def test_many_that_do_not_though_together_they_do() -> None:
    with closing(Patience(0.3)) as patience:
        for _ in range(8):
            with patience:
                await asyncio.sleep(0.05)
            await asyncio.sleep(0.05)


async def test_what_lies_between_them_may_last() -> None:
    with closing(Patience(0.05)) as patience:
        with patience:
            await asyncio.sleep(0)
        await asyncio.sleep(0.2)
        with patience:
            await asyncio.sleep(0)


async def test_a_cancel_of_somebody_else_is_one() -> None:
    async def waiting() -> None:
        with closing(Patience(60)) as patience, patience:
            await asyncio.sleep(60)

    task = asyncio.create_task(waiting())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_without_end_and_faults() -> None:
    with closing(Patience(None)) as patience:
        with patience:
            await asyncio.sleep(0.01)
        with pytest.raises(KeyError), patience:
            raise KeyError

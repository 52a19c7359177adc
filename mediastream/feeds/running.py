"""The sources that run: each for one topic, in one process of the host, by interest or always. On the home loop.

A source starts with its topic's first reader and goes on for a moment after the last. A lease says which process has
it; another that wants it too waits until it is free, as a worker does that takes over from one that stops.
"""

import asyncio
import hashlib
import logging
import random
from dataclasses import dataclass

from mediastream import bus, drain
from mediastream.feeds import hub, simulator, upstream
from mediastream.feeds.events import Event
from mediastream.feeds.models import Topic
from mediastream.feeds.sources import Kind, Source, parse
from mediastream.feeds.upstream import SourceLost

logger = logging.getLogger(__name__)

LINGER = 5.0  # seconds a source goes on without readers
LEASE_AGAIN = 0.5  # seconds until a lease that another process has is tried again
PAUSES = 0.5, 30.0  # seconds before a source that failed is tried again: first, at most
WELL = 60.0  # seconds after which one that ran is taken for well, and tried again soon


@dataclass(frozen=True)
class Order:
    """What a topic's row asks of its source. `rate`: a second."""

    source: Source
    rate: float
    key_field: str
    always_on: bool


def order_of(row: Topic) -> Order | None:
    source = parse(row.source)
    return Order(source, row.rate, row.key_field, row.always_on) if source is not None else None


class Running:
    """One source under way. `state`: in words, for administrators."""

    def __init__(self, name: str, order: Order) -> None:
        self.name = name
        self.order = order
        self.state = "starting"
        self.stopping: asyncio.TimerHandle | None = None
        self.task = asyncio.create_task(self._run(), name=f"source of {name}")

    async def _run(self) -> None:
        lease = await self._lease()
        try:
            await self._keep_on()
        finally:
            lease.release()
            self.state = "resting"

    async def _lease(self) -> bus.Lease:
        digest = hashlib.sha256(self.name.encode()).hexdigest()[:16]
        while (lease := bus.Lease.take(f"feed-{digest}")) is None:
            self.state = "another process has it"
            await asyncio.sleep(LEASE_AGAIN)
        return lease

    async def _keep_on(self) -> None:
        loop = asyncio.get_running_loop()
        pause, most = PAUSES
        while True:
            began = loop.time()
            try:
                await self._once()
                reason = "it ended"
            except SourceLost as lost:
                reason = str(lost)
            except Exception:
                logger.exception("the source of %s failed", self.name)
                reason = "a fault of this server; see its log"
            if loop.time() - began > WELL:
                pause = PAUSES[0]
            # Between half of it and all: those that lost the same upstream must not come back as one.
            wait = pause * random.uniform(0.5, 1)  # noqa: S311
            pause = min(2 * pause, most)
            self.state = f"failed: {reason}; tried again in {wait:.1f} s"
            logger.warning("source of %s: %s; tried again in %.1f s", self.name, reason, wait)
            await asyncio.sleep(wait)

    async def _once(self) -> None:
        order = self.order
        if order.source.kind is Kind.SIMULATOR:
            self.state = "live"
            await simulator.run(self._publish, order.rate, order.key_field)
        else:
            self.state = "connecting"
            await upstream.run(order.source, self._publish, order.rate, order.key_field)

    async def _publish(self, event: Event) -> None:
        self.state = "live"
        await hub.apublish(self.name, event)


_orders: dict[str, Order] = {}
_running: dict[str, Running] = {}
_ending: set[asyncio.Task[None]] = set()


def arrange(orders: dict[str, Order]) -> None:
    """From now on the topics have these sources, and no others."""
    _orders.clear()
    _orders.update(orders)
    for name, running in list(_running.items()):
        if running.order != orders.get(name):
            _stop(name)
    for name, order in orders.items():
        if order.always_on or (name in hub.feeds() and hub.feeds()[name].subscribers):
            _start(name)
        elif name in _running:
            interested(name, False)


def interested(name: str, is_read: bool) -> None:
    """The topic has got its first reader, or lost its last."""
    running = _running.get(name)
    if is_read:
        _start(name)
    elif running is not None and not running.order.always_on and running.stopping is None:
        running.stopping = asyncio.get_running_loop().call_later(LINGER, _stop, name)


def _start(name: str) -> None:
    running = _running.get(name)
    if running is not None:
        if running.stopping is not None:
            running.stopping.cancel()
            running.stopping = None
    elif name in _orders and not drain.begun():
        _running[name] = Running(name, _orders[name])


def _stop(name: str) -> None:
    running = _running.pop(name)
    if running.stopping is not None:
        running.stopping.cancel()
    running.task.cancel()
    _ending.add(running.task)
    running.task.add_done_callback(_ending.discard)


def state(name: str) -> str:
    """In words. Any thread may ask."""
    running = _running.get(name)
    return running.state if running is not None else "resting"


async def close_all() -> None:
    _orders.clear()
    for name in list(_running):
        _stop(name)
    await asyncio.gather(*_ending, return_exceptions=True)

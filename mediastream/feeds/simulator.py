"""A market that does not exist: prices that walk at random, for demonstrations and tests. Each event says so.

Every symbol's price follows a geometric random walk whose volatility comes and goes, as those of real prices do: quiet
hours and lively ones. A tick is one trade of one symbol.
"""

import asyncio
import math
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any

from mediastream.feeds.events import Event

# Names that no exchange lists, with the price each begins at.
SYMBOLS = {"ACME": 124.0, "INIT": 42.5, "HOOLI": 311.0, "GLOBX": 67.2, "UMBRL": 18.9, "WAYNE": 540.0}
YEARLY = 0.35  # the volatility it returns to: a third of the price in a year
SPEED = 2000.0  # how much faster time goes there, so that a minute shows a movement
YEAR = 252 * 6.5 * 3600  # seconds of trading
LATE = 1.0  # seconds behind which ticks are left out rather than sent in a burst


class Walk:
    """One symbol's price. `opened`: what its change is told against."""

    def __init__(self, price: float, dice: random.Random) -> None:
        self.price = self.opened = price
        self._dice = dice
        self._volatility = YEARLY

    def step(self, seconds: float) -> float:
        """The price that much later."""
        years = seconds * SPEED / YEAR
        shock = self._dice.gauss(0, 1) * math.sqrt(years)
        self._volatility *= math.exp(3 * self._dice.gauss(0, 1) * math.sqrt(years))
        self._volatility = min(max(self._volatility + 40 * years * (YEARLY - self._volatility), 0.1), 1.5)
        self.price *= math.exp(self._volatility * shock - self._volatility**2 * years / 2)
        self.price = max(self.price, 0.01)
        return self.price


class Market:
    """`seed`: for the same walk again."""

    def __init__(self, seed: int | None = None) -> None:
        self._dice = random.Random(seed)  # noqa: S311
        self._walks = {symbol: Walk(price, self._dice) for symbol, price in SYMBOLS.items()}

    def tick(self, seconds: float, now: float) -> dict[str, Any]:
        """The next trade, `seconds` after the last of this symbol. `now`: Unix seconds."""
        symbol = self._dice.choice(list(self._walks))
        walk = self._walks[symbol]
        price = round(walk.step(seconds), 2)
        size = 10 * max(1, round(self._dice.lognormvariate(2, 1)))
        change = round(100 * (price / walk.opened - 1), 2)
        said = {"symbol": symbol, "price": price, "change": change, "size": size, "time": round(now, 3)}
        return {**said, "simulated": True}


async def run(publish: Callable[[Event], Awaitable[object]], rate: float, key_field: str) -> None:
    """Publish `rate` ticks a second until cancelled. Times between them vary, as those of trades do."""
    market, dice = Market(), random.Random()  # noqa: S311
    loop = asyncio.get_running_loop()
    due = loop.time()
    between = len(SYMBOLS) / rate
    while True:
        tick = market.tick(between, time.time())
        await publish(Event(tick, key=str(tick.get(key_field, ""))))
        due = max(due + min(dice.expovariate(rate), 5 / rate), loop.time() - LATE)
        await asyncio.sleep(max(due - loop.time(), 0))

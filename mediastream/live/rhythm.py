"""When: the decisions about time, purely. `now` is in seconds of a clock that never goes back."""

import random
from dataclasses import dataclass, field

STALL = 4.0  # seconds without a picture after which a source has stalled, at least
INTERVALS = 10  # of its usual intervals after which it has
LATE = 0.75  # of that time, after which the picture is called late
OPENING = 15.0  # seconds a source may take for its first pictures: an RTSP camera may take ten
SETTLED = 5  # pictures after which the usual interval is known


@dataclass
class Rhythm:
    """How long to wait for the next picture of a source.

    `every`: seconds between pictures that are asked for one by one; None: they come by themselves.
    """

    last: float
    every: float | None = None
    count: int = 0
    interval: float = 0.0

    def note(self, now: float) -> None:
        """A picture has come."""
        passed = now - self.last
        if self.count == 1:
            self.interval = passed
        elif self.count > 1:
            self.interval += (passed - self.interval) / 8
        self.count += 1
        self.last = now

    @property
    def patience(self) -> float:
        if self.every is not None:
            return max(2 * self.every, self.every + OPENING)
        if self.count < SETTLED:
            return OPENING
        return max(STALL, INTERVALS * self.interval)

    @property
    def deadline(self) -> float:
        return self.last + self.patience

    def late(self, now: float) -> bool:
        """Whether the next picture is overdue, before the patience is over."""
        return now - self.last > LATE * self.patience

    @property
    def rate(self) -> float | None:
        """Pictures a second that come."""
        return 1 / self.interval if self.count > 1 and self.interval > 0 else None


@dataclass
class Pace:
    """Lets `rate` a second through. One that comes up to half an interval early is let through too, so that a
    jitter costs none; over time there are no more."""

    rate: float
    _due: float | None = field(default=None, init=False)

    def due(self, now: float) -> bool:
        interval = 1 / self.rate
        due = self._due if self._due is not None else now
        if now < due - interval / 2:
            return False
        self._due = max(due + interval, now)
        return True


@dataclass
class Backoff:
    """Seconds to wait after each failure in a row: longer each time, and not all cameras at once.

    By half: one that was away for two seconds, as it takes to start it anew, is back about a second later.
    """

    first: float
    most: float
    _pause: float = field(default=0.0, init=False)

    def after(self, lasted: float) -> float:
        """`lasted`: seconds from the start to the failure. One that lasted long was none in the row."""
        again = self._pause > 0 and lasted <= 2 * self.most
        self._pause = min(1.5 * self._pause, self.most) if again else self.first
        return self._pause * random.uniform(0.7, 1.3)  # noqa: S311 - jitter, not a secret

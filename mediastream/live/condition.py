"""How a camera is, as told to pages, scripts and administrators."""

from dataclasses import dataclass
from enum import Enum

from mediastream.live.facts import Facts
from mediastream.live.failures import Failure


class State(Enum):
    RESTING = "resting"  # nobody watches
    STARTING = "starting"  # no picture yet
    LIVE = "live"
    LATE = "late"  # the next picture is overdue, and the source not yet given up
    RECONNECTING = "reconnecting"  # it failed, and is tried again


@dataclass(frozen=True)
class Condition:
    """`captured`: when the last picture was, in Unix seconds; `failure`: the last, however long ago; `rate`:
    pictures a second that come; `skips`: for each who watches the pictures now, the frames it was too slow for;
    `left_out`: as they were the same as the last; `of_video`: how many watch the H.264."""

    state: State
    captured: float | None = None
    failure: Failure | None = None
    facts: Facts | None = None
    rate: float | None = None
    skips: tuple[int, ...] = ()
    left_out: int = 0
    of_video: int = 0

    @property
    def viewers(self) -> int:
        return len(self.skips) + self.of_video

"""What a topic's row asks for, as a value."""

from dataclasses import dataclass
from enum import Enum


class Policy(Enum):
    """What becomes of events a subscriber is too slow for."""

    CONFLATE = "conflate"  # the last of each key is kept
    OLDEST = "oldest"  # the oldest go, and a `gap` says how many
    DISCONNECT = "disconnect"  # the stream ends with a `gap`


@dataclass(frozen=True)
class Terms:
    """`history`: events kept, at least one; `compressed`: whether its streams may be."""

    policy: Policy = Policy.OLDEST
    history: int = 1000
    compressed: bool = False

    @property
    def keyed(self) -> bool:
        return self.policy is Policy.CONFLATE

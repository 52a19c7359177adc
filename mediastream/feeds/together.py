"""Readers who want the same and have all there is: one place for all of them, written to in one loop (crowd.py).

Nearly all readers of a topic are such. What is said of one reader's place is said of theirs together, so an event
costs each of them a write and nothing else. Who falls behind has a place of its own again until it has caught up.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from mediastream.broadcast import DirectSink, Shared
from mediastream.crowd import Crowd
from mediastream.feeds.events import Format

if TYPE_CHECKING:
    from mediastream.feeds.batch import Want
    from mediastream.feeds.subscriber import Subscriber


class Together:
    """`sent`: the sequence up to which all of them have all; `fell`: called with who has not, who is alone by then."""

    catching = None
    ended = False

    def __init__(self, want: "Want", sent: int, fell: Callable[["Subscriber"], None]) -> None:
        self.want = want
        self.sent = sent
        self._fell = fell
        self._crowd = Crowd(chunked=want.form is not Format.FRAMES)
        self._members: dict[Subscriber, DirectSink] = {}

    def __len__(self) -> int:
        return len(self._members)

    def join(self, subscriber: "Subscriber", sink: DirectSink) -> None:
        """One that stands where these do, by its own sink."""
        assert subscriber.sent == self.sent
        subscriber.together = self
        self._members[subscriber] = sink
        self._crowd.join(sink, lambda: self._fall(subscriber))

    def leave(self, subscriber: "Subscriber") -> None:
        self._crowd.leave(self._members.pop(subscriber))
        subscriber.together, subscriber.sent = None, self.sent

    def offer(self, data: Shared) -> None:
        """To all; who does not take it falls."""
        self._crowd.offer(data)

    def part(self) -> None:
        """Each is to go on alone."""
        for subscriber in [*self._members]:
            self._fall(subscriber)

    def _fall(self, subscriber: "Subscriber") -> None:
        self.leave(subscriber)
        self._fell(subscriber)

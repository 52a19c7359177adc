"""A topic's streams, compressed once for all who read the same. Lives on the home loop.

Those who read the same share a `Lane`. Who is inside gets each of its pieces as it is. Who is not, having just come or
having been told something alone, such as a replay, a gap or a heartbeat, gets what there is as pieces that lean on
nothing, and goes in with a piece of the lane that leans on nothing either.
"""

import zlib
from dataclasses import dataclass

from mediastream.feeds.alone import ALONE
from mediastream.feeds.batch import Batch, Want
from mediastream.feeds.lane import CodedBatch, Lane
from mediastream.feeds.subscriber import Subscriber
from mediastream.feeds.terms import Policy
from mediastream.http.pieces import Coding

LARGE = 64 * 1024  # bytes, plain, past which a batch is compressed quickly and alone, not to hold up the loop


@dataclass(frozen=True)
class Offered:
    """What was compressed for one reader alone, until its connection takes it: with each event that comes meanwhile its
    backlog is another, and would be compressed anew. Made for who has all as far as `sent`, when its lane had been told
    to forget `forgotten` times."""

    batch: CodedBatch
    sent: int
    forgotten: int

    def stands(self, reader: Subscriber, lane: Lane) -> bool:
        return self.sent == reader.sent and self.forgotten == lane.forgotten


class Coded:
    """One reader's compressed stream. Its `Subscriber` asks it for what is next, and tells it what was sent."""

    __slots__ = ("_at", "_crc", "_offered", "_size", "lane")

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self._at: int | None = None  # inside: the number of its next piece
        self._crc = self._size = 0
        self._offered: Offered | None = None

    @property
    def coding(self) -> Coding:
        return self.lane.coding

    def batch(self, reader: Subscriber) -> Batch | None:
        """What it is to get next, as `Feed.batch`."""
        if reader.ended:
            return None
        if self._offered is not None and self._offered.stands(reader, self.lane):
            # Too slow for its topic is who lacks what is held no more, whatever is kept for it here.
            ended = reader.feed.terms.policy is Policy.DISCONNECT and reader.feed.batch(reader) is None
            return None if ended else self._offered.batch
        lane, number = self.lane, self._number(reader)
        if number is not None:
            if number < lane.end:
                return lane.run(number)
            reader.sent = max(reader.sent, lane.upto)
        batch = reader.feed.batch(reader)
        if batch is None:
            return None
        if not batch.pieces:
            if number is not None:
                lane.upto = max(lane.upto, batch.upto)
            return batch
        if number is None or batch.dropped or len(batch.joined.plain) > LARGE:
            made = self.alone(batch.joined.plain, batch.upto, batch.dropped)
            self._offered = Offered(made, reader.sent, lane.forgotten)
            return made
        lane.append(batch, entering=number != self._at)
        return lane.run(number)

    def _number(self, reader: Subscriber) -> int | None:
        """Where in the lane it goes on."""
        if self._at is not None and self.lane.holds(self._at):
            return self._at
        return self.lane.entrance(reader.sent) if reader.catching is None else None

    def alone(self, plain: bytes, upto: int, dropped: int = 0) -> CodedBatch:
        """That, leaning on nothing."""
        plain, coded = ALONE[self.coding.name](plain)
        return CodedBatch((plain,), upto, dropped, coded=coded)

    def handed(self, batch: Batch) -> None:
        """That batch was sent, or will be."""
        if not isinstance(batch, CodedBatch):
            return
        if self.coding.sums:
            for plain in batch.pieces:
                self._crc = zlib.crc32(plain, self._crc)
                self._size += len(plain)
        self._go(batch.after)

    def _go(self, at: int | None) -> None:
        self._offered = None
        self.lane.inside += (at is not None) - (self._at is not None)
        self._at = at

    def begin(self, words: bytes) -> bytes:
        """The stream's first bytes, which say this."""
        return self.coding.head + self.say(words)

    def say(self, words: bytes) -> bytes:
        """What says this; it is sent for certain."""
        batch = self.alone(words, 0)
        self.handed(batch)
        return batch.coded.plain

    def end(self) -> bytes:
        """The stream's last bytes. With them decoders know that it was not cut."""
        return self.coding.end(self._crc, self._size)


class Lanes:
    """Those of one topic."""

    def __init__(self) -> None:
        self._lanes: dict[tuple[Want, str], Lane] = {}

    def enter(self, want: Want, coding: Coding) -> Coded:
        lane = self._lanes.setdefault((want, coding.name), Lane(want, coding))
        lane.readers += 1
        return Coded(lane)

    def forget(self) -> None:
        """Something was taken back: nobody is to be told it from now on."""
        for lane in self._lanes.values():
            lane.forget()

    def leave(self, coded: Coded) -> None:
        lane = coded.lane
        coded._go(None)
        lane.readers -= 1
        if not lane.readers:
            del self._lanes[lane.want, lane.coding.name]
            lane.close()

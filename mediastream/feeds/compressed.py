"""A topic's streams, compressed once for all who read the same. Lives on the home loop.

Those who read a topic in the same format, with the same keys, in the same content coding share a `Lane`: one
compressor, whose pieces (http/pieces.py) all of them get, so that a reader costs none. Who is inside gets each piece as
it is. Who is not, having just come or having been told something alone, such as a replay, a gap or a heartbeat, gets
what there is as pieces that lean on nothing, and goes in with a piece of the lane that leans on nothing either.
The lane has one when somebody waits for it, but only every JOIN events, as it costs the lane what it remembers.
"""

import zlib
from collections import deque
from dataclasses import dataclass

from mediastream.broadcast import Shared
from mediastream.feeds.subscriber import Batch, Subscriber, Want
from mediastream.feeds.terms import Policy
from mediastream.http.pieces import GZIP, ZSTD, Coding, Stream

CODINGS = {coding.name: coding for coding in (ZSTD, GZIP)}  # the best first; they compress alike, zstd with less work
JOIN = 20  # events between two pieces with which readers may go in
BEHIND = 100  # events, and
KEPT = 256 * 1024  # bytes, plain, that a reader may be behind and yet stay inside
LARGE = 64 * 1024  # bytes, plain, past which a batch is compressed quickly and alone, not to hold up the loop
MOST = 64  # lanes with a compressor, in this process; those past it have pieces that lean on nothing only
MEMORY = 4 * 1024 * 1024  # bytes of what was compressed alone, kept for others who are to get the same


@dataclass(frozen=True, kw_only=True)
class CodedBatch(Batch):
    """`pieces`: one, plain; `coded`: what is sent; `after`: where in its lane the reader is then, None: outside."""

    coded: Shared
    after: int | None = None

    @property
    def joined(self) -> Shared:
        return self.coded


@dataclass(frozen=True)
class Piece:
    """What came after `since`, as far as `upto`. Whoever has all as far as `least` or more has all as far as `since`:
    nothing between is for this lane's readers."""

    plain: bytes
    coded: bytes
    least: int
    since: int
    upto: int


class Lane:
    """`readers`: how many have it; `inside`: how many of them are; `end`: the number of the next piece; `upto`: the
    sequence its pieces reach, or more if what follows is not for its readers; `forgotten`: how many times it was to
    forget."""

    def __init__(self, want: Want, coding: Coding) -> None:
        self.want = want
        self.coding = coding
        self.readers = self.inside = 0
        self.end = self.upto = self.forgotten = 0
        self._reached = 0  # by pieces
        self._stream: Stream | None = None
        self._pieces: deque[Piece] = deque()  # the latest
        self._bytes = 0
        self._door = -1  # the number of the latest that is afresh, and
        self._joined = 0  # the events since, its own with them
        self._runs: dict[int, CodedBatch] = {}  # pieces joined, from a number on

    def holds(self, number: int) -> bool:
        """Whether a reader inside may go on there."""
        return self.end - len(self._pieces) <= number <= self.end

    def entrance(self, sent: int) -> int | None:
        """The number of the piece with which a reader of all as far as `sent` may go in, perhaps of one still to be
        made; None: not now."""
        if self.holds(self._door):
            piece = self._pieces[self._door - self.end]
            if piece.least <= sent <= piece.since:
                return self._door
        if sent < self._reached or not self._has_stream():
            return None
        if sent > self.upto and (not self.inside or sent - self.upto >= JOIN):
            self._skip_to(sent)  # those inside, if any, have been too busy for longer than they may
            return self.end
        return self.end if sent <= self.upto and (not self.inside or self._joined >= JOIN) else None

    def _has_stream(self) -> bool:
        if self._stream is None and len(_working) < MOST:
            self._stream = self.coding.stream()
            _working.add(self)
        return self._stream is not None

    def _skip_to(self, sequence: int) -> None:
        self._pieces.clear()
        self._bytes = 0
        self.end += 1  # nobody inside is there
        self.upto = self._reached = sequence

    def append(self, batch: Batch, *, entering: bool) -> None:
        """The next piece. `entering`: for a reader that goes in with it."""
        assert self._stream is not None
        afresh = entering or (self._joined >= JOIN and self.inside < self.readers)
        plain = batch.joined.plain
        coded = self._stream.piece(plain, afresh=afresh)
        self._pieces.append(Piece(plain, coded, self._reached, self.upto, batch.upto))
        self._bytes += len(plain)
        if afresh:
            self._door, self._joined = self.end, 0
        self._joined += len(batch.pieces)
        self.end += 1
        self.upto = self._reached = batch.upto
        self._runs.clear()
        while len(self._pieces) > 1 and (self._bytes > KEPT or self.upto - self._pieces[0].since > BEHIND):
            self._bytes -= len(self._pieces.popleft().plain)

    def run(self, number: int) -> CodedBatch:
        """All from there on. Pieces past it are there."""
        known = self._runs.get(number)
        if known is None:
            pieces = list(self._pieces)[number - self.end :]
            plain = b"".join(piece.plain for piece in pieces)
            coded = Shared(b"".join(piece.coded for piece in pieces))
            known = self._runs[number] = CodedBatch((plain,), self._reached, coded=coded, after=self.end)
        return known

    def forget(self) -> None:
        """Those inside that are behind get what they lack from the topic's history, which says other things now."""
        self.forgotten += 1
        self._pieces.clear()
        self._bytes = 0
        self._runs.clear()

    def close(self) -> None:
        _working.discard(self)
        self._stream = None


_working: set[Lane] = set()  # that have a compressor


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
        plain, coded = _alone[self.coding.name](plain)
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


class _Alone:
    """What was compressed alone, for whoever is to get the same: it is found by its content, so it is never wrong. The
    content is shared, too, as those whose connection takes nothing hold it."""

    def __init__(self, coding: Coding) -> None:
        self._coding = coding
        self._made: dict[bytes, tuple[bytes, Shared]] = {}
        self._bytes = 0

    def __call__(self, plain: bytes) -> tuple[bytes, Shared]:
        made = self._made.get(plain)
        if made is None:
            made = plain, Shared(self._coding.alone(plain))
            self._bytes += len(plain) + 2 * len(made[1].plain) + 200  # also as a chunk, and what Python needs
            if self._bytes > MEMORY:
                self._made.clear()
                self._bytes = 0
            self._made[plain] = made
        return made


_alone = {name: _Alone(coding) for name, coding in CODINGS.items()}

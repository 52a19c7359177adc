"""One compressor for all who read a topic in the same format, with the same keys, in the same content coding.

Its pieces (http/pieces.py) go to all readers inside, so that a reader costs none. Who comes goes in with a piece that
leans on nothing. The lane has one when somebody waits for it, but only every JOIN events, as it costs the lane what it
remembers.
"""

from collections import deque
from dataclasses import dataclass

from mediastream.broadcast import Shared
from mediastream.feeds.batch import Batch, Want
from mediastream.http.pieces import Coding, Stream

JOIN = 20  # events between two pieces with which readers may go in
BEHIND = 100  # events, and
KEPT = 256 * 1024  # bytes, plain, that a reader may be behind and yet stay inside
MOST = 64  # lanes with a compressor, in this process; those past it have pieces that lean on nothing only


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

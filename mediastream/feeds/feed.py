"""One topic while it runs: its events in order, and who reads them. Lives on the home loop.

What is published in one turn of the loop goes out together in the next, written once for each kind of reader: those
that want the same format and keys and stand at the same place share the bytes. A subscriber whose connection is still
busy is left where it is and tried again every moment; what it is too slow for, the topic's policy decides. A
publisher never waits.
"""

import asyncio
from collections.abc import Callable

from mediastream import drain, streams
from mediastream.broadcast import Shared
from mediastream.errors import Busy
from mediastream.feeds import cursor as cursors
from mediastream.feeds import saying
from mediastream.feeds.batch import Batch, Want
from mediastream.feeds.compressed import Lanes
from mediastream.feeds.cursor import Cursor
from mediastream.feeds.events import RETRACT, Entry, Event, Format, told
from mediastream.feeds.history import History, MemoryHistory
from mediastream.feeds.placing import Reader, next_batch, place
from mediastream.feeds.subscriber import Subscriber
from mediastream.feeds.terms import Policy, Terms
from mediastream.feeds.together import Together
from mediastream.http.pieces import Coding

HEARTBEAT = 15.0  # seconds: proxies give up a stream that is quiet for 30 to 60
PENDING = 100  # events published in one turn before those who read are served in between
AGAIN = 0.02  # seconds until a busy connection is tried again


class Feed:
    """`head`: the sequence of the latest event; `interested`: called when the first subscriber comes (True) and when
    the last has left (False)."""

    def __init__(self, name: str, terms: Terms) -> None:
        self.name = name
        self.terms = terms
        self.head = 0
        self.epoch = cursors.new_epoch()
        self.interested: Callable[[bool], None] = lambda _interested: None
        self._history: History = MemoryHistory(terms.history, keyed=terms.keyed)
        self._subscribers: set[Subscriber] = set()
        self._alone: set[Subscriber] = set()  # those of them who are not written to with others
        self._together: dict[Want, Together] = {}
        self._attached: set[Subscriber] = set()
        self._busy: set[Subscriber] = set()  # attached, with a connection that would not take all
        self._flushed = 0
        self._flushing: asyncio.Handle | None = None
        self._trying: asyncio.Handle | None = None
        self._beating: asyncio.Handle | None = None
        self._release_drain: Callable[[], None] = lambda: None
        self._shared: dict[tuple[Want, int], Batch] = {}
        self._lanes = Lanes()

    @property
    def subscribers(self) -> int:
        return len(self._subscribers)

    @property
    def cursor(self) -> Cursor:
        return Cursor(self.epoch, self.head)

    def append(self, event: Event) -> Cursor:
        """Its place in the topic."""
        self.head += 1
        self._history.append(Entry(event, self.epoch, self.head))
        self._shared.clear()
        if event.name == RETRACT:
            self._lanes.forget()
        if self._subscribers:
            if self.head - self._flushed >= PENDING:
                self._flush()
            elif self._flushing is None:
                self._flushing = asyncio.get_running_loop().call_soon(self._flush)
        return self.cursor

    def take_over(self, former: "Feed") -> None:
        """Go on where the same topic stood on other terms."""
        self.epoch, self.head = former.epoch, former.head
        for entry in former._history.after(0):
            self._history.append(entry)

    def join(self, want: Want, after: str | None = None, coding: Coding | None = None) -> Subscriber:
        """`after`: the cursor of the last event it knows, OLDEST, or None for who comes for the first time; `coding`:
        how its stream is compressed.

        Raises Busy while the server stops.
        """
        if drain.begun():
            raise Busy("The server is stopping; come again in a moment.", retry_after=2)
        begins = place(self._history, self.cursor, self.terms, after)
        cursor = str(Cursor(self.epoch, begins.sent))
        opening = saying.opening(want.form, self.name, cursor, begins.reason, len(self._subscribers))
        catching = begins.catching if begins.sent < self.head else None
        subscriber = Subscriber(self, want, begins.sent, catching, opening)
        subscriber.coded = self._lanes.enter(want, coding) if coding is not None else None
        if not self._subscribers:
            self._flushed = self.head
            self._release_drain = drain.on_begin(self._drain)
            self.interested(True)
        self._subscribers.add(subscriber)
        self._alone.add(subscriber)
        return subscriber

    def batch(self, reader: Reader) -> Batch | None:
        """What it is to get next; None if nothing waits, or it has been ended for being too slow."""
        if reader.sent >= self.head or reader.ended:
            return None
        # Others stand there, too; those that are behind are each elsewhere.
        shared = reader.catching is None and reader.sent >= self._flushed
        key = reader.want, reader.sent
        if shared and (known := self._shared.get(key)) is not None:
            return known
        batch = next_batch(self._history, self.cursor, self.terms, reader)
        if batch.dropped and self.terms.policy is Policy.DISCONNECT and isinstance(reader, Subscriber):
            streams.drop("feed", batch.dropped)
            gap = told(reader.want.form, "gap", dropped=batch.dropped)
            reader.end(gap + saying.retry(reader.want.form, len(self._subscribers)))
            return None
        if shared:
            self._shared[key] = batch
        return batch

    def handed(self, reader: Subscriber, batch: Batch) -> None:
        """That batch was sent, or will be."""
        reader.sent = batch.upto
        if batch.upto >= self.head:
            reader.catching = None
        if batch.dropped:
            streams.drop("feed", batch.dropped)

    def _flush(self) -> None:
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None
        for together in [*self._together.values()]:
            self._write(together)
        made: dict[Want, Shared | None] = {}
        for subscriber in [*self._alone]:
            if subscriber.ended:  # in this turn; what was made for another is not for it
                continue
            if subscriber.sink is None:
                subscriber.tell()
            elif subscriber not in self._busy and not self._advance(subscriber, made):
                self._busy.add(subscriber)
        self._flushed = self.head
        for subscriber in [*self._alone & self._attached]:
            self._gather(subscriber)
        self._try_again()

    def _write(self, together: Together) -> None:
        """Have all that waits written; who cannot take it is alone and busy afterwards."""
        while together and (batch := self.batch(together)) is not None:
            if batch.dropped:
                together.part()
                break
            if batch.pieces:
                together.offer(batch.joined)
            together.sent = batch.upto
        if not together:
            del self._together[together.want]

    def _gather(self, subscriber: Subscriber) -> None:
        """With those who stand where it stands, if it may be written to in their loop."""
        ready = subscriber.sent == self.head and subscriber.catching is None and subscriber not in self._busy
        if not ready or subscriber.coded is not None or subscriber.sink is None:
            return
        if (direct := subscriber.sink.direct) is not None:
            want = subscriber.want
            together = self._together.get(want) or Together(want, self.head, self._fell)
            self._together[want] = together
            self._alone.discard(subscriber)
            together.join(subscriber, direct)

    def _fell(self, subscriber: Subscriber) -> None:
        self._alone.add(subscriber)
        self._busy.add(subscriber)

    def _advance(self, subscriber: Subscriber, made: dict[Want, Shared | None]) -> bool:
        """As its own `advance`; but nearly all have what came before, and then there is one thing to write to all who
        want the same, unless it is compressed, which is shared in another way."""
        if subscriber.sent != self._flushed or subscriber.catching is not None or subscriber.coded is not None:
            return subscriber.advance()
        assert subscriber.sink is not None
        want, offer = subscriber.want, subscriber.sink.offer
        if want not in made:
            batch = self.batch(subscriber)
            made[want] = None
            if batch is not None and batch.pieces and batch.upto == self.head and not batch.dropped:
                made[want] = batch.joined
        news = made[want]
        if news is None:
            return subscriber.advance()
        if not offer(news):
            return False
        subscriber.sent = self.head
        return True

    def _try_again(self) -> None:
        if self._busy and self._trying is None:
            self._trying = asyncio.get_running_loop().call_later(AGAIN, self._try)

    def _try(self) -> None:
        self._trying = None
        for subscriber in [*self._busy]:
            if subscriber.advance():
                self._busy.discard(subscriber)
        self._try_again()

    def attached(self, subscriber: Subscriber) -> None:
        self._attached.add(subscriber)
        if not subscriber.advance():
            self._busy.add(subscriber)
            self._try_again()
        if self._beating is None:
            self._beating = asyncio.get_running_loop().call_later(HEARTBEAT, self._beat)

    def detached(self, subscriber: Subscriber) -> None:
        self._attached.discard(subscriber)
        if (together := subscriber.together) is not None:
            together.leave(subscriber)
            self._alone.add(subscriber)
            if not together:
                self._together.pop(together.want, None)
        self._busy.discard(subscriber)

    def heartbeat(self, reader: Reader) -> bytes:
        """For one that has all there is."""
        return saying.heartbeat(reader.want.form, str(Cursor(self.epoch, reader.sent)))

    def _beat(self) -> None:
        self._beating = None
        for together in [*self._together.values()]:
            together.offer(Shared(self.heartbeat(together)))
        made: dict[tuple[Format, int], Shared] = {}
        for subscriber in [*self._alone & self._attached]:
            if subscriber not in self._busy:
                key = subscriber.want.form, subscriber.sent
                beat = made.get(key) or made.setdefault(key, Shared(self.heartbeat(subscriber)))
                subscriber.say(beat)
        self._try_again()
        if self._attached:
            self._beating = asyncio.get_running_loop().call_later(HEARTBEAT, self._beat)

    def left(self, subscriber: Subscriber) -> None:
        if subscriber not in self._subscribers:
            return
        self.detached(subscriber)
        self._subscribers.discard(subscriber)
        self._alone.discard(subscriber)
        if subscriber.coded is not None:
            self._lanes.leave(subscriber.coded)
        if not self._subscribers:
            self._release_drain()
            self._stop_timers()
            self.interested(False)

    def _drain(self) -> None:
        for subscriber in [*self._subscribers]:
            subscriber.end(saying.retry(subscriber.want.form, len(self._subscribers)))

    def holds(self, key: str) -> bool:
        """Whether it remembers anything under that key."""
        return self._history.holds(key)

    def end(self) -> None:
        """The topic is no more."""
        for subscriber in [*self._subscribers]:
            subscriber.leave()

    def _stop_timers(self) -> None:
        for handle in (self._flushing, self._trying, self._beating):
            if handle is not None:
                handle.cancel()
        self._flushing = self._trying = self._beating = None

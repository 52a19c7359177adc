"""How much to read for a client at a time, where the kernel does not send the file itself.

Each chunk costs a turn of the event loop and several calls, so large ones carry more bytes for a processor's second
(bench/chunks.py). But what was read for a client that does not take it lies in memory. So one begins with little,
gets twice as much after a chunk that was gone at once, and half as much after one that took long: a chunk is what
the client takes in a fraction of a second, within two bounds.

How long a chunk took is the time until the next is asked for. A server whose buffer has room asks at once, whoever
the client is, and that is right: it has a bound of its own, and stops to ask when that is full.
"""

LEAST = 16 * 1024  # bytes; a pipe's page and a disk's are four thousand
FIRST = 64 * 1024  # bytes: as much as a pipe holds
MOST = 256 * 1024  # bytes; bench/results/chunks.md
SOON = 0.02  # seconds; a client at 3 MB/s takes the first chunk in that
LATE = 0.25  # seconds: to be cut, slowed down or asked for elsewhere, a stream need not wait longer


class Chunking:
    """Bytes of the next chunk for one client. `most`: bytes, at least LEAST."""

    __slots__ = ("_given_at", "_most", "size")

    def __init__(self, most: int = MOST) -> None:
        self.size = min(FIRST, most)
        self._most = most
        self._given_at: float | None = None

    def given(self, now: float) -> None:
        """A chunk was handed over; seconds of a clock that does not go back."""
        self._given_at = now

    def asked(self, now: float) -> int:
        """The next is asked for: its size in bytes."""
        if self._given_at is not None:
            took = now - self._given_at
            if took < SOON:
                self.size = min(2 * self.size, self._most)
            elif took > LATE:
                self.size = max(self.size // 2, LEAST)
        return self.size

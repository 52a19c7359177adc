"""What is compressed for itself alone, leaning on nothing: a replay, a gap, a heartbeat, what is large."""

from mediastream.broadcast import Shared
from mediastream.http.pieces import CODINGS, Coding

MEMORY = 4 * 1024 * 1024  # bytes of what was compressed alone, kept for others who are to get the same


class Alone:
    """What was compressed, for whoever is to get the same: it is found by its content, so it is never wrong. The
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


ALONE = {name: Alone(coding) for name, coding in CODINGS.items()}

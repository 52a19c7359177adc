"""JPEG frames out of a byte stream, purely: feed bytes in any pieces, get whole pictures.

ITU-T T.81 annex B: a picture is SOI, segments, scans, EOI. A segment states its length, so a thumbnail
inside one (Exif) is skipped, not mistaken for the end; entropy-coded data states none, but every 0xFF in
it is stuffed with 0x00 or starts a restart marker, so the next other marker ends the scan.
"""

import re
from dataclasses import dataclass, field
from functools import cached_property

from mediastream.broadcast import Shared
from mediastream.http.multipart import mixed_part

MAX_FRAME = 16 * 1024 * 1024  # bytes; a source that says more is not a camera
MAX_STEPS = 20_000  # markers walked for one picture: a hostile one would else be walked byte by byte
BETWEEN = 2048  # bytes kept of what stands before a picture: the head of its part, in a multipart stream

SOI, EOI, SOS = b"\xff\xd8", 0xD9, 0xDA
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD8)})  # TEM and RSTn: markers without a length
_SCAN_END = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


@dataclass(frozen=True)
class Frame:
    """One picture and when it was captured, in Unix seconds."""

    jpeg: bytes
    captured: float

    @cached_property
    def part(self) -> Shared:
        """Framed for multipart/x-mixed-replace, once for all viewers."""
        return Shared(mixed_part(self.jpeg, self.captured))


class FrameTooLarge(ValueError):
    """A picture did not end within MAX_FRAME bytes, or MAX_STEPS markers."""


@dataclass
class JpegSplitter:
    """Collects pieces and gives back whole JPEGs. Bytes between pictures, and broken pictures, are dropped.

    So a multipart stream is split as well, whatever it says of its boundary and of its parts' lengths: cameras
    get both wrong.
    """

    max_frame: int = MAX_FRAME
    _buffer: bytearray = field(default_factory=bytearray)
    _before: bytes = b""
    _position: int = 0  # how far the picture at the buffer's start has been walked; 0: no SOI seen
    _in_scan: bool = False
    _steps: int = 0

    def feed(self, data: bytes) -> list[bytes]:
        """The pictures that `data` completes. Raises FrameTooLarge; the splitter is then of no more use."""
        return [jpeg for _, jpeg in self.parts(data)]

    def parts(self, data: bytes) -> list[tuple[bytes, bytes]]:
        """The same, each after what stood before it, as far as that was kept."""
        self._buffer += data
        found: list[tuple[bytes, bytes]] = []
        while (end := self._find_end()) is not None and end <= self.max_frame:
            found.append((self._before, bytes(self._buffer[:end])))
            self._restart(end)
            self._before, self._steps = b"", 0
        if len(self._buffer) > self.max_frame:
            raise FrameTooLarge(f"a picture of over {self.max_frame} bytes")
        return found

    def _drop(self, count: int) -> None:
        """Of what is no picture, from the buffer's start."""
        self._before = (self._before + self._buffer[max(count - BETWEEN, 0) : count])[-BETWEEN:]
        del self._buffer[:count]

    def _restart(self, at: int) -> None:
        del self._buffer[:at]
        self._position, self._in_scan = 0, False

    def _find_end(self) -> int | None:
        """Where the picture at the start of the buffer ends; None if more bytes are needed."""
        while True:
            if self._position == 0 and not self._find_start():
                return None
            if self._in_scan and not self._skip_scan():
                return None
            step = self._step()
            if step is None or step > 0:
                return step
            self._steps += 1
            if self._steps > MAX_STEPS:
                raise FrameTooLarge(f"a picture of over {MAX_STEPS} markers")

    def _find_start(self) -> bool:
        start = self._buffer.find(SOI)
        if start < 0:
            # The last byte may be the first half of an SOI.
            self._drop(len(self._buffer) - self._buffer.endswith(b"\xff"))
            return False
        self._drop(start)
        self._position = 2
        return True

    def _skip_scan(self) -> bool:
        match = _SCAN_END.search(self._buffer, self._position)
        if match is None:
            self._position = max(self._position, len(self._buffer) - 1)
            return False
        self._position, self._in_scan = match.start(), False
        return True

    def _step(self) -> int | None:
        """Walk one marker: the end of the picture, 0 to go on, None if more bytes are needed."""
        buffer, at = self._buffer, self._position
        if len(buffer) < at + 2:
            return None
        if buffer[at] != 0xFF or buffer[at + 1] in (0x00, 0xD8):
            self._resync()
            return 0
        marker = buffer[at + 1]
        if marker == EOI:
            return at + 2
        if marker == 0xFF:  # fill byte
            self._position += 1
        elif marker in _STANDALONE:
            self._position += 2
        else:
            return self._skip_segment(marker)
        return 0

    def _skip_segment(self, marker: int) -> int | None:
        at = self._position
        if len(self._buffer) < at + 4:
            return None
        length = int.from_bytes(self._buffer[at + 2 : at + 4], "big")
        if length < 2:
            self._resync()
            return 0
        if len(self._buffer) < at + 2 + length:
            return None
        self._position, self._in_scan = at + 2 + length, marker == SOS
        return 0

    def _resync(self) -> None:
        """This is no picture: drop what was walked of it, at least its SOI, and look for the next one.

        The next one may begin right where this one broke, so nothing behind that is dropped.
        """
        at = self._position
        self._restart(0)
        self._drop(at)

"""A segment while it is written, and what a crash has left of one.

It grows under a name that no reader takes for a segment. When it is whole its index is written, it is brought to
the disk, and only then renamed. So a file with a segment's name is always whole, and a crash loses at most what was
open; of that, the fragments that were written are saved at the next start.

All of this waits for the disk: it is called in threads (recorder.py).
"""

import errno
import os
import shutil
from contextlib import suppress
from pathlib import Path

from mediastream.live.recording import samples as fragments
from mediastream.live.recording import segments
from mediastream.live.recording.boxes import Mp4Invalid, Track, boxes, track
from mediastream.live.recording.names import JOIN, LONGEST, Segment
from mediastream.live.recording.samples import Samples
from mediastream.live.recording.segments import Fragment

SUFFIX = ".part"
LARGEST = 64 * 1024 * 1024  # bytes of a fragment that is believed when a file is looked through


class Draft:
    """`reserve`: bytes that stay free on the disk. `full`: it takes no more fragments."""

    def __init__(self, folder: Path, init: bytes, start: int, reserve: int) -> None:
        """Raises OSError, with ENOSPC where the disk has no room beyond the reserve."""
        if len(init) > segments.MOST_INIT:
            raise Mp4Invalid("the init segment is too large")
        self.start = start
        self.track = track(init)
        self._folder, self._reserve = folder, reserve
        self._index_at = len(init)
        self._fragments: list[Fragment] = []
        self._size = 0
        self._check_room()
        self._path = folder / f"{start}{SUFFIX}"
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        try:
            self._append(init + segments.room(self.track, ()))
        except BaseException:
            self.discard()
            raise

    @property
    def full(self) -> bool:
        return len(self._fragments) == segments.MOST

    @property
    def ticks(self) -> int:
        return sum(fragment.duration for fragment in self._fragments)

    @property
    def seconds(self) -> float:
        return self.ticks / self.track.timescale

    def add(self, group: Samples) -> None:
        """Append a fragment. Raises OSError, or Mp4Invalid if it is full; what was there before is still whole then."""
        if self.full:
            raise Mp4Invalid("no key frame comes")
        self._check_room()
        data = fragments.write(group, self.track.id, len(self._fragments) + 1, self.ticks)
        self._append(data)
        self._fragments.append(Fragment(len(data), group.duration, group.sync))

    def finish(self, until: int | None = None) -> tuple[Segment, int] | None:
        """Give it its name; returns the segment and the bytes of its file, None if nothing was in it.

        `until`: when the next begins, in Unix milliseconds, if one follows. A clock that was set meanwhile is not
        believed. Raises OSError.
        """
        if not self._fragments:
            self.discard()
            return None
        try:
            _write(self._fd, segments.room(self.track, self._fragments), self._index_at)
            os.fsync(self._fd)
        finally:
            os.close(self._fd)
        lasting = round(self.seconds * 1000)
        if until is not None and abs(until - self.start - lasting) <= JOIN:
            lasting = until - self.start
        segment = Segment(self.start, min(max(lasting, 1), LONGEST))
        put_in_place(self._path, self._folder, segment)
        return segment, self._size

    def discard(self) -> None:
        os.close(self._fd)
        self._path.unlink(missing_ok=True)

    def _check_room(self) -> None:
        if free(self._folder) < self._reserve:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _append(self, data: bytes) -> None:
        try:
            _write(self._fd, data, self._size)
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._fd, self._size)
            raise
        self._size += len(data)


def free(folder: Path) -> int:
    """Bytes of its disk that are free."""
    return shutil.disk_usage(folder).free


def _write(fd: int, data: bytes, offset: int) -> None:
    rest = memoryview(data)
    while rest:  # a full disk takes a part first
        written = os.pwrite(fd, rest, offset)
        rest, offset = rest[written:], offset + written


def put_in_place(path: Path, folder: Path, segment: Segment) -> None:
    day = folder / segment.day
    day.mkdir(exist_ok=True)
    os.rename(path, day / segment.name)
    directory = os.open(day, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def salvage(folder: Path) -> list[tuple[Segment, int]]:
    """Make segments of what a crash has left open here; what holds no whole fragment goes. With bytes of each."""
    saved = []
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        try:
            found = _salvaged(path, folder)
        except (Mp4Invalid, ValueError, StopIteration):
            found = None
        if found is None:
            path.unlink()
        else:
            saved.append(found)
    return saved


def _salvaged(path: Path, folder: Path) -> tuple[Segment, int] | None:
    with path.open("r+b") as file:
        head = file.read(segments.HEAD)
        moov = next(found for found in boxes(head) if found.kind == b"moov")
        its = track(head[: moov.stop])
        offset, found = moov.stop + segments.ROOM, list[Fragment]()
        while len(found) < segments.MOST and (fragment := _fragment_at(file.fileno(), offset, its)) is not None:
            found.append(fragment)
            offset += fragment.size
        ticks = sum(fragment.duration for fragment in found)
        if not ticks:
            return None
        _write(file.fileno(), segments.room(its, found), moov.stop)
        file.truncate(offset)
        os.fsync(file.fileno())
    segment = Segment(int(path.stem), min(max(ticks * 1000 // its.timescale, 1), LONGEST))
    put_in_place(path, folder, segment)
    return segment, offset


def _fragment_at(fd: int, offset: int, its: Track) -> Fragment | None:
    """The whole fragment there; None if there is none."""
    size = 0
    for kind in (b"moof", b"mdat"):
        head = os.pread(fd, 8, offset + size)
        if len(head) < 8 or head[4:] != kind:
            return None
        size += int.from_bytes(head[:4], "big")
    data = os.pread(fd, size, offset) if size <= LARGEST else b""
    if not data or len(data) < size:
        return None
    found = fragments.read(data, its)
    return Fragment(size, found.duration, found.sync)

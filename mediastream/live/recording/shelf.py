"""A camera's segments on disk: what there is, and what goes.

Each camera has a folder by the number of its row, which a new name of the camera leaves as it is and which is never
given to another one. The names in it are the truth (names.py): a listing is a look at the folder.

All of this waits for the disk: it is called in threads.
"""

import os
import secrets
import shutil
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mediastream.live.recording import segments
from mediastream.live.recording.boxes import Mp4Invalid
from mediastream.live.recording.names import Segment, days, parse, within
from mediastream.live.recording.segments import Head

HOUR = 3_600_000  # milliseconds
REMOVED = ".removed"


@dataclass(frozen=True)
class Keep:
    """How long recordings are kept, in hours, and how much of them, in bytes."""

    hours: int
    bytes: int


def folder_of(root: Path, camera: int) -> Path:
    return root / str(camera)


def listed(folder: Path, start: int, end: int) -> list[Segment]:
    """The segments that have a part of this span, in order. Unix milliseconds."""
    return within(sorted(_named(folder / day for day in days(start, end))), start, end)


def path_of(folder: Path, segment: Segment) -> Path:
    return folder / segment.day / segment.name


def heads(folder: Path, wanted: Iterable[Segment]) -> list[tuple[Segment, Head]]:
    """The beginnings of their files. Left out are those that have gone meanwhile, and those that are damaged."""
    found = []
    for segment in wanted:
        try:
            with path_of(folder, segment).open("rb") as file:
                head = segments.read(file.read(segments.HEAD))
                if head.fragments and head.size == os.fstat(file.fileno()).st_size:
                    found.append((segment, head))
        except (FileNotFoundError, Mp4Invalid):
            continue
    return found


class Shelf:
    """All segments of one camera, the oldest first. Used by one thread at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bytes = 0
        self._kept: deque[tuple[Segment, int]] = deque()
        for segment in sorted(_named(_days(folder))):
            with suppress(FileNotFoundError):
                self.add(segment, path_of(folder, segment).stat().st_size)

    @property
    def end(self) -> int:
        """Where the last segment ends, 0 if there is none."""
        return self._kept[-1][0].end if self._kept else 0

    def add(self, segment: Segment, size: int) -> None:
        self._kept.append((segment, size))
        self.bytes += size

    def retain(self, keep: Keep, now: int) -> int:
        """Delete what is too old, and the oldest of what is too much; returns how many. `now`: Unix milliseconds.

        Who reads one just then has it open, and reads on to its end.
        """
        gone = 0
        while self._kept and (self._kept[0][0].end < now - keep.hours * HOUR or self.bytes > keep.bytes):
            segment, size = self._kept[0]
            path = path_of(self.folder, segment)
            path.unlink(missing_ok=True)
            self._kept.popleft()
            self.bytes -= size
            gone += 1
            if not self._kept or self._kept[0][0].day != segment.day:
                with suppress(OSError):  # something of another's lies in it
                    path.parent.rmdir()
        return gone


def remove_all(root: Path, camera: int) -> None:
    """Under another name first: who still records there finds no folder, and what a crash leaves is known as such."""
    removed = root / f"{camera}-{secrets.token_hex(4)}{REMOVED}"
    with suppress(FileNotFoundError):
        folder_of(root, camera).rename(removed)
        shutil.rmtree(removed, ignore_errors=True)


def sweep_removed(root: Path) -> None:
    for left in root.glob(f"*{REMOVED}"):
        shutil.rmtree(left, ignore_errors=True)


def cameras(root: Path) -> list[int]:
    """The cameras that have a folder."""
    with suppress(FileNotFoundError):
        return sorted(int(entry.name) for entry in os.scandir(root) if entry.name.isascii() and entry.name.isdigit())
    return []


def _days(folder: Path) -> list[Path]:
    with suppress(FileNotFoundError):
        return [Path(entry.path) for entry in os.scandir(folder) if entry.name.isdigit() and entry.is_dir()]
    return []


def _named(folders: Iterable[Path]) -> list[Segment]:
    found = []
    for folder in folders:
        with suppress(FileNotFoundError), os.scandir(folder) as entries:
            found += [segment for entry in entries if (segment := parse(entry.name)) is not None]
    return found

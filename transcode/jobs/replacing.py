"""A file that FFmpeg writes for a job, checked and put in the place of an item's own."""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.files.base import File
from django.core.files.storage import default_storage
from django.db import transaction

from media_library import ingest
from media_library.facts import Facts
from media_library.models import Media, file_name
from media_library.signals import media_ready
from media_library.storage import draft
from mediastream import ffmpeg
from mediastream.http.filename import printable
from mediastream.request_bodies import DISK_RESERVE
from transcode import fallback, hardware
from transcode.encoders import SOFTWARE, Encoder
from transcode.jobs.child import Bounds, JobFailed, encode
from transcode.profiles import FILE

if TYPE_CHECKING:
    from transcode.jobs.running import Attempt

Command = Callable[[Path, Encoder], list[str]]  # FFmpeg's, that writes a path by an encoder
LONGEST = 6 * 3600.0  # seconds; Q_CLUSTER's timeout lies above
IDLE = 60.0  # seconds


def replaced(attempt: "Attempt", command: Command, needed: int, *, encodes: bool) -> str:
    """Do it, and say what came out. `needed`: bytes, surely; `encodes`: video, by the hardware there is.
    Raises JobFailed, DiskFull, and what the storage does."""
    free = room_for(needed)
    attempt.report.duration = attempt.media.duration
    with _draft() as target:
        said = attempt.wait(_written(attempt, command, target, free, encodes))
        inspection = ingest.inspect(target)
        if inspection.facts is None:
            raise JobFailed(inspection.reason)
        _check_length(attempt.media, inspection.facts)
        before, after = attempt.media.size, target.stat().st_size
        attempt.tell()
        if not _put_in_place(attempt.media, target, inspection.facts):
            return "The item's file has changed meanwhile; it was left as it is."
    return f"{before} bytes became {after}{said}."


def room_for(needed: int) -> int:
    """Bytes that a job may write, more than `needed`. Raises JobFailed."""
    free = shutil.disk_usage(settings.FILE_UPLOAD_TEMP_DIR).free - DISK_RESERVE
    if free <= needed:
        raise JobFailed("There is not enough room on the server's disk; delete something, then try again.")
    return free


async def _written(attempt: "Attempt", command: Command, target: Path, most: int, encodes: bool) -> str:
    """Have FFmpeg write `target`, of `most` bytes; by what, in words. At home. Raises what `encode` does."""
    end = time.monotonic() + LONGEST

    async def work(encoder: Encoder) -> str:
        # All its threads together; an end by the clock comes first, as long as somebody is there to see it.
        seconds = int(LONGEST) * (os.cpu_count() or 1)
        limits = replace(FILE.limits(encoder), file_size=most, cpu_seconds=seconds)
        await encode(command(target, encoder), Bounds(limits, end - time.monotonic(), IDLE), attempt.report)
        return f", by {encoder.codec}"

    if not encodes:
        await work(SOFTWARE)
        return ""
    await hardware.known(settings.ENCODER, ffmpeg.executable(settings.FFMPEG))
    item = str(attempt.media.pk)
    said = await fallback.encoded(item, work, (JobFailed,))
    failed = fallback.rests(item)
    return f"{said}, as {failed.encoder} failed: {failed.why.rstrip('.')}" if failed else said


@contextmanager
def _draft() -> Iterator[Path]:
    """A temporary file for FFmpeg to write. It is held by this process: what a kill leaves is swept."""
    descriptor, name = draft()
    try:
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)
        os.close(descriptor)


def _check_length(media: Media, made: Facts) -> None:
    """FFmpeg calls it a success when a damaged file breaks off half-way; the whole would then be gone."""
    if media.duration and (made.duration or 0.0) < media.duration - max(1.0, 0.02 * media.duration):
        raise JobFailed(
            f"Of {media.duration:.0f} seconds only {made.duration or 0:.0f} came out; it was left as it is."
        )


def _put_in_place(media: Media, path: Path, facts: Facts) -> bool:
    """By a rename. Only the fields of the file change, so that an edit made meanwhile survives."""
    was = media.file.name or ""
    path.chmod(0o644)
    stored = default_storage.save(file_name(media, "x.mp4"), _Moved(path))
    try:
        with transaction.atomic():
            row = Media.objects.select_for_update().filter(pk=media.pk, file=was).first()
            if row is not None:
                _describe(row, stored, facts)
                transaction.on_commit(lambda: ingest.forget(was))
    except BaseException:
        ingest.forget(stored)
        raise
    if row is None:
        ingest.forget(stored)
        return False
    media_ready.send_robust(Media, media=row)
    return True


def _describe(row: Media, stored: str, facts: Facts) -> None:
    row.file.name, row.size = stored, default_storage.size(stored)
    row.original_name = printable(f"{Path(row.original_name).stem[:200]}.mp4")
    row.set_facts(facts)
    row.save(
        update_fields=[
            "file", "size", "original_name", "container", "content_type", "duration", "streams", "state", "reason",
        ]
    )  # fmt: skip


class _Moved(File):  # type: ignore[type-arg]
    """Django moves a file that says where it lies, instead of copying it."""

    def __init__(self, path: Path) -> None:
        super().__init__(None, path.name)
        self._path = path

    def temporary_file_path(self) -> str:
        return str(self._path)

    def chunks(self, chunk_size: int | None = None) -> Any:
        raise AssertionError("it is to be moved")

"""A stored file made better to stream, and put in the place of the one there is.

A remux keeps each picture and sound as it is, in an MP4 whose index comes first; what would lose something is refused.
An encode is for what no browser plays, and asked for by name, as the file it replaces is gone afterwards.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
from mediastream.process import Limits
from mediastream.request_bodies import DISK_RESERVE
from transcode.jobs import commands
from transcode.jobs.child import Bounds, JobFailed, encode
from transcode.jobs.faststart import index_is_first

if TYPE_CHECKING:
    from transcode.jobs.running import Attempt

LONGEST = 6 * 3600.0  # seconds; Q_CLUSTER's timeout lies above
IDLE = 60.0  # seconds
# What MP4 carries and players take from it (ISO 14496-12 and the codecs' own registrations).
VIDEO = ("h264", "hevc", "av1", "mpeg4", "vp9")
AUDIO = ("aac", "mp3", "ac3", "eac3", "opus", "flac", "alac")
TEXT = ("subrip", "ass", "ssa", "webvtt", "mov_text", "text")


def remux(attempt: "Attempt") -> str:
    media = attempt.media
    facts = media.facts
    refused = why_not(facts)
    if refused:
        raise JobFailed(refused)
    if facts.container.startswith("mov") and index_is_first(media.path):
        return "It was: an MP4 whose index comes first."
    streams = [index for index, stream in enumerate(facts.streams) if stream.kind in ("video", "audio", "subtitle")]
    codecs = {facts.streams[index].codec for index in streams}
    text = any(facts.streams[index].kind == "subtitle" for index in streams)

    def command(target: Path) -> list[str]:
        executable = ffmpeg.executable(settings.FFMPEG)
        return commands.remux(executable, media.path, target, streams, hevc="hevc" in codecs, text=text)

    return _replace(attempt, command, room=media.size)


def why_not(facts: Facts) -> str:
    """Why a remux would lose something, or has no use; "" if it may be."""
    if facts.first("video") is None:
        return "Sound alone needs no optimising."
    if facts.content_type == "video/webm":
        return "WebM plays in browsers as it is."
    for stream in facts.streams:
        carried = {"video": VIDEO, "audio": AUDIO, "subtitle": TEXT}.get(stream.kind)
        if carried is not None and stream.codec not in carried:
            return f"MP4 cannot carry its {stream.kind} ({stream.codec}) as it is; “Encode for browsers” makes it anew."
    return ""


def encode_anew(attempt: "Attempt") -> str:
    media, facts = attempt.media, attempt.media.facts
    if media.browser_type and facts.first("video") is not None:
        return "Browsers play it as it is."
    numbered = list(enumerate(facts.streams))
    audio = [index for index, stream in numbered if stream.kind == "audio"]
    text = [index for index, stream in numbered if stream.kind == "subtitle" and stream.codec in TEXT]

    def command(target: Path) -> list[str]:
        executable = ffmpeg.executable(settings.FFMPEG)
        return commands.encode(executable, media.path, target, facts.first("video"), audio, text)

    return _replace(attempt, command, room=0)


def _replace(attempt: "Attempt", command: Callable[[Path], list[str]], room: int) -> str:
    """`room`: bytes that are surely needed."""
    free = shutil.disk_usage(settings.FILE_UPLOAD_TEMP_DIR).free - DISK_RESERVE
    if free <= room:
        raise JobFailed("There is not enough room on the server's disk; delete something, then try again.")
    attempt.report.duration = attempt.media.duration
    with _draft() as target:
        bounds = Bounds(Limits(file_size=free, niceness=10), LONGEST, IDLE)
        attempt.wait(encode(command(target), bounds, attempt.report))
        inspection = ingest.inspect(target)
        if inspection.facts is None:
            raise JobFailed(inspection.reason)
        _check_length(attempt.media, inspection.facts)
        before, after = attempt.media.size, target.stat().st_size
        attempt.tell()
        if not _put_in_place(attempt.media, target, inspection.facts):
            return "The item's file has changed meanwhile; it was left as it is."
    return f"{before} bytes became {after}."


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

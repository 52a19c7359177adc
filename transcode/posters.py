"""A picture for each video."""

import functools
from pathlib import Path

from django.conf import settings
from django.core.files.base import ContentFile
from django.db import transaction

from media_library.ingest import forget
from media_library.models import Media
from mediastream import ffmpeg, process
from mediastream.ffmpeg import last_words
from mediastream.limits import Limits
from mediastream.process import ChildTimeout
from transcode import argv

DEADLINE = 20.0  # seconds
WIDTH = 640  # pixels
MAX_BYTES = 4 * 1024 * 1024
# Memory: a picture of 8192 by 8192 with its references takes 2 GB to decode.
LIMITS = Limits(address_space=6 * 1024**3, cpu_seconds=40, niceness=5)


class NoPicture(Exception):
    """FFmpeg made none; the text says why."""


def command(path: Path, duration: float | None, video: int) -> list[str]:
    at = min((duration or 0.0) * 0.1, 30.0)
    return argv.poster(ffmpeg.executable(settings.FFMPEG), path, at, WIDTH, video=video)


async def picture(argv: list[str]) -> bytes:
    """The JPEG. Raises NoPicture."""
    try:
        finished = await process.run(argv, DEADLINE, LIMITS, MAX_BYTES)
    except (ChildTimeout, OSError) as fault:
        raise NoPicture(str(fault)) from None
    if finished.returncode != 0 or not finished.stdout:
        raise NoPicture(last_words(finished.stderr))
    return finished.stdout


def keep(media: Media, jpeg: bytes) -> bool:
    """Store it, if the item still has the file it was made of."""
    of = media.file.name
    media.poster.save("poster.jpg", ContentFile(jpeg), save=False)
    made = media.poster.name or ""
    try:
        with transaction.atomic():
            row = Media.objects.select_for_update().filter(pk=media.pk, file=of).first()
            if row is not None:
                replaced, row.poster.name = row.poster.name or "", made
                row.save(update_fields=["poster"])
                transaction.on_commit(functools.partial(forget, replaced))
    except BaseException:
        forget(made)
        raise
    if row is None:
        forget(made)
    return row is not None

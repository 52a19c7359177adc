"""A picture for each video, made inside the call that stored it."""

import functools
import logging
from typing import Any

from django.conf import settings
from django.core.files.base import ContentFile
from django.db import transaction

from media_library.ingest import forget
from media_library.models import Media
from mediastream import ffmpeg, homeloop, process
from mediastream.ffmpeg import last_words
from mediastream.process import ChildTimeout, Limits
from transcode import argv

logger = logging.getLogger(__name__)
DEADLINE = 20.0  # seconds
WIDTH = 640  # pixels
MAX_BYTES = 4 * 1024 * 1024
LIMITS = Limits(cpu_seconds=40)


def make_poster(sender: type[Media], media: Media, **kwargs: Any) -> None:
    """Receives media_ready. A video without a poster is still a video: a failure is logged, not raised."""
    video = media.facts.first("video")
    if video is None:
        return
    at = min((media.duration or 0.0) * 0.1, 30.0)
    command = argv.poster(ffmpeg.executable(settings.FFMPEG), media.path, at, WIDTH, video=video)
    try:
        finished = homeloop.call(process.run(command, DEADLINE, LIMITS, MAX_BYTES), DEADLINE + 5)
    except (ChildTimeout, OSError) as fault:
        logger.warning("no poster for %s: %s", media.pk, fault)
        return
    if finished.returncode != 0 or not finished.stdout:
        logger.warning("no poster for %s: %s", media.pk, last_words(finished.stderr))
        return
    replaced = media.poster.name or ""
    media.poster.save("poster.jpg", ContentFile(finished.stdout), save=False)
    media.save(update_fields=["poster"])
    transaction.on_commit(functools.partial(forget, replaced))

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
# Memory: a picture of 8192 by 8192 with its references takes 2 GB to decode.
LIMITS = Limits(address_space=6 * 1024**3, cpu_seconds=40)


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
    _keep(media, finished.stdout)


def _keep(media: Media, jpeg: bytes) -> None:
    replaced = media.poster.name or ""
    media.poster.save("poster.jpg", ContentFile(jpeg), save=False)
    try:
        media.save(update_fields=["poster"])
    except BaseException:  # the item was deleted meanwhile, for one
        forget(media.poster.name or "")
        raise
    transaction.on_commit(functools.partial(forget, replaced))

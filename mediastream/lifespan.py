"""Opens and closes what a serving process owns, in order.

Nothing relies on the closing half alone: on a kill -9 it does not run, and gunicorn runs it only after
every connection has ended (drain.py, process.py).
"""

import logging

from django.conf import settings

from media_library.storage import sweep_temporary
from mediastream import drain, ffmpeg, homeloop
from mediastream.handler import Receive, Send
from mediastream.live import registry as cameras

logger = logging.getLogger(__name__)


async def lifespan(receive: Receive, send: Send) -> None:
    """The ASGI lifespan protocol."""
    await receive()
    try:
        open_all()
    except Exception as fault:
        logger.exception("cannot start")
        await send({"type": "lifespan.startup.failed", "message": str(fault)})
        return
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await close_all()
    await send({"type": "lifespan.shutdown.complete"})


def open_all() -> None:
    """Raises FFmpegMissing: a server that cannot make a picture says so at its start."""
    homeloop.adopt()
    drain.reset()
    sweep_temporary()
    logger.info("FFmpeg: %s", ffmpeg.executable(settings.FFMPEG))


async def close_all() -> None:
    drain.begin()
    await cameras.close_all()

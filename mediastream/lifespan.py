"""Opens and closes what a serving process owns, in order.

Nothing relies on the closing half alone: on a kill -9 it does not run, and gunicorn runs it only after
every connection has ended (drain.py, spawning.py).
"""

import asyncio
import gc
import logging
from contextlib import closing, suppress

from django.conf import settings
from django.db import Error, connection
from django.urls import get_resolver

from media_library.storage import sweep_temporary
from mediastream import drain, ffmpeg, homeloop, watch
from mediastream.delivery import Receive, Send
from mediastream.errors import Busy
from mediastream.faults import fault_response
from mediastream.feeds import hub, running
from mediastream.feeds.views import begin as begin_feeds
from mediastream.live import changes, videos
from mediastream.live import registry as cameras
from mediastream.live import topic as states
from mediastream.live.recording import recorders
from mediastream.open_streams import topic as open_streams
from transcode import hardware, hls
from transcode.jobs import owner

logger = logging.getLogger(__name__)
CHECKPOINT = 0.5  # seconds
YOUNG = 10_000  # objects made and not freed, after which Python looks for cycles among them; by itself it takes 700


async def lifespan(receive: Receive, send: Send) -> None:
    """The ASGI lifespan protocol."""
    await receive()
    try:
        open_all()
        await begin_feeds()
        freeze()
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
    watch.begin()
    drain.reset()
    sweep_temporary()
    load_all()
    logger.info("FFmpeg: %s", ffmpeg.executable(settings.FFMPEG))
    hls.begin()
    changes.begin()
    hardware.begin(settings.ENCODER, ffmpeg.executable(settings.FFMPEG))
    if settings.JOBS:
        owner.begin()


def load_all() -> None:
    """Import what the first requests would: views, and what an error page is made of.

    Without descriptors nothing can be imported, an answer of 503 included; and what of Django's template engine
    could not be loaded then would be missing for good.
    """
    get_resolver()._populate()
    fault_response(Busy("", 0), "text/html")


def freeze() -> None:
    """What is there by now stays. Python looks for cycles in all there is each time there is a quarter more, and that
    is while clients come: among the hundred thousands of objects of Django and ours it would find none.

    A client who stays is some hundred objects, so a thousand who come at once had it look two hundred times through
    what they have just brought, which was a fifth of what their coming cost (bench/results/feeds-notes.md).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG)


async def close_all() -> None:
    drain.begin()
    await owner.end()
    await hardware.end()
    await running.close_all()
    await hub.close_all()
    await states.close_all()
    await open_streams.close_all()
    await recorders.close_all()
    await cameras.close_all()
    await videos.close_all()
    await hls.close_all()
    await watch.end()
    with suppress(TimeoutError):
        async with asyncio.timeout(CHECKPOINT):
            await asyncio.to_thread(checkpoint)


def checkpoint() -> None:
    """Have all of the database in its one file, which is what people copy of a server that is stopped.

    SQLite does it when the last connection closes, but the process ends without closing those of its threads.
    PASSIVE waits for nobody: another process may be writing.
    """
    if connection.vendor != "sqlite":
        return
    try:
        with closing(connection), connection.cursor() as cursor:
            cursor.execute("PRAGMA wal_checkpoint(PASSIVE)")
    except Error as fault:
        logger.warning("the database is left with its write-ahead log: %s", fault)

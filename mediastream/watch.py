"""The watch: what a serving process looks after while requests come and go. Lives on the home loop.

Twice a second, and soon when a notice comes, the rows in use are read again (rows.py) and the streams
that no longer have a right are ended (streams.py). It also measures how late the loop is: a loop that is
late by much is one that something blocks.

It asks the database in a thread of its own: behind a crowd of requests it would be late just when many watch.
Nothing that goes wrong in one round ends it, as nobody would notice but by streams that outlive their right.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress

from asgiref.sync import ThreadSensitiveContext

from mediastream import bus, homeloop, rows, streams
from mediastream.request_threads import SharedThreads

logger = logging.getLogger(__name__)

EVERY = 0.5  # seconds
GATHER = 0.02  # seconds after a notice, as many often come together: a hundred changes are one look
DEADLINE = 5.0  # seconds the database may take

on_notice: dict[str, Callable[[str], None]] = {}  # by topic: who else wants to know

_thread = SharedThreads(max_workers=1, thread_name_prefix="watch")
_watching: "Watch | None" = None


class Watch:
    """`lag`: seconds by which the loop was late when last measured."""

    def __init__(self) -> None:
        self.lag = 0.0
        self.loop = asyncio.get_running_loop()
        self._woken = asyncio.Event()
        self._blind: set[str] = set()  # kinds of rows that could not be read again
        self._listener = self._listen()
        self._task = asyncio.create_task(self._run(), name="watch")

    def _listen(self) -> bus.Listener | None:
        try:
            return bus.Listener(self._heard)
        except OSError as fault:
            logger.warning("no notices are heard, and changes are seen by looking alone: %s", fault)
            return None

    def _heard(self, topic: str, key: str) -> None:
        try:
            rows.heard(topic, key)
        finally:
            self._woken.set()
        if topic in on_notice:
            on_notice[topic](key)

    async def _run(self) -> None:
        while True:
            await self._pause()
            try:
                await self._look()
            except Exception:
                logger.exception("a round of the watch failed")

    async def _look(self) -> None:
        for kind in rows.all_rows():
            try:
                async with asyncio.timeout(DEADLINE), ThreadSensitiveContext(executor=_thread):
                    await kind.refresh()
            except Exception as fault:
                # Rows that are not fresh are not believed: each request asks for itself until this works again.
                if kind.name not in self._blind:
                    said = str(fault) or type(fault).__name__
                    logger.warning("rows in use cannot be read again kind=%s: %s", kind.name, said)
                self._blind.add(kind.name)
            else:
                if kind.name in self._blind:
                    logger.info("rows in use are read again kind=%s", kind.name)
                self._blind.discard(kind.name)
        streams.notice()

    async def _pause(self) -> None:
        wanted = time.monotonic() + EVERY
        with suppress(TimeoutError):
            async with asyncio.timeout(EVERY):
                await self._woken.wait()
                await asyncio.sleep(GATHER)
        self._woken.clear()
        self.lag = max(time.monotonic() - wanted, 0.0)

    def leave(self) -> None:
        """End it from elsewhere, without waiting: its loop may run in another thread, or no longer."""
        if self.loop.is_running():
            self.loop.call_soon_threadsafe(self._stop)
        elif self._listener is not None:
            self._listener.close()

    async def close(self) -> None:
        self._stop()
        await asyncio.gather(self._task, return_exceptions=True)

    def _stop(self) -> None:
        if self._listener is not None:
            self._listener.close()
        self._task.cancel()


def begin() -> None:
    """Start it on this loop if it does not run there. A server without lifespan events has no other moment than
    its first request."""
    global _watching
    if _watching is None or _watching.loop is not asyncio.get_running_loop():
        left, _watching = _watching, Watch()
        if left is not None:
            left.leave()


def begin_at_home() -> None:
    """The same from a thread, where the home loop is not the server's own (WSGI)."""
    if _watching is None or _watching.loop is not homeloop.home():
        homeloop.call(_begin(), DEADLINE)


async def _begin() -> None:
    begin()


async def end() -> None:
    global _watching
    watching, _watching = _watching, None
    if watching is not None:
        await watching.close()


def lag() -> float:
    return _watching.lag if _watching is not None else 0.0

"""gunicorn's ASGI worker, taught to stop at once and to notice who has stopped reading.

What differs from gunicorn's own, and why:

- A stop signal closes the drain latch in the handler itself, not after the graceful timeout, and SIGINT
  and SIGQUIT drain like SIGTERM (gunicorn would cut downloads and skip lifespan shutdown).
- A worker that has served its `max_requests` serves on until the next one is ready. gunicorn would start that
  only when this one's last download has ended.
- A stop signal that comes while the application is being loaded counts.
- Stopping does not wait for the heartbeat's next second, nor for idle kept-alive connections, nor for viewers of
  endless streams who take nothing; and the heartbeat goes on while downloads have their grace.
- The listen backlog is the configured one: `create_server` would reset it to its own default of 100. What happens
  to clients for whom no descriptor is left is told in listening.py.
- A watchdog aborts sockets that take no byte (decision 14 in docs/architecture.md), and closes those that
  have asked nothing; past `worker_connections`, which gunicorn does not enforce here, clients get a 503.
- The worker dies with its arbiter: PR_SET_PDEATHSIG, so that a kill -9 of the arbiter ends it and its
  children within moments rather than at the next heartbeat.

Relied on inside gunicorn: ASGIWorker's attributes `loop`, `sockets`, `alive`, `nr_conns`, `lifespan`,
`state`, `asgi`, `ppid`, and the methods overridden here; that the arbiter handles TTIN and TTOU so.
tests/server/test_gunicorn.py guards them.
"""

import asyncio
import ctypes
import gc
import os
import resource
import signal
import sys
import threading
from contextlib import suppress
from typing import Any

from django.conf import settings
from gunicorn.arbiter import Arbiter
from gunicorn.asgi.lifespan import LifespanManager
from gunicorn.workers.gasgi import ASGIWorker

from mediastream import drain
from mediastream.server.connection import ENDING, PATIENCE, Connection
from mediastream.server.granted import Grants
from mediastream.server.listening import PER_CONNECTION, Listening

PR_SET_PDEATHSIG = 1  # prctl(2)
HANDOVER = 0.2  # seconds in which clients wait in the kernel's queue, from one worker's last stream to the next one
LAST_WORK = 0.6  # seconds, when all else has ended; the arbiter kills one second later
WATCH_EVERY = 1.0  # seconds: the heartbeat, and how long a client that asks nothing may be too late
LOOKS = 15  # at a client's socket within its patience: each is two questions to the kernel


def descriptors() -> int:
    """The most files this process may have open: as many as the system lets it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


class MediaWorker(ASGIWorker):  # type: ignore[misc]
    """Set as `worker_class` in gunicorn_conf.py."""

    max_requests: int

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.connections: set[Connection] = set()
        self.grants = Grants()
        self._listening: Listening | None = None
        self._stopping = asyncio.Event()
        self.follows = False  # another worker, which is to end as soon as this one is ready; set by gunicorn_conf.py
        self.most_connections = self.cfg.worker_connections

    @property
    def alive(self) -> bool:
        return self._alive

    @alive.setter
    def alive(self, alive: bool) -> None:
        """gunicorn sets it to False with the last of `max_requests`; from then on each answer closes its connection.

        TTIN: one worker more. That one says TTOU when it is ready: one less, the oldest.
        """
        self._alive = alive
        if not alive and self.nr >= self.max_requests:
            self.max_requests = sys.maxsize
            self._tell_arbiter(signal.SIGTTIN)

    def init_process(self) -> None:
        self.init_signals()
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != self.ppid:  # it died before the line above
            raise SystemExit(0)
        self.most_connections = min(self.cfg.worker_connections, descriptors() // PER_CONNECTION)
        super().init_process()

    def init_signals(self) -> None:
        """Until the loop runs: uvloop loses a signal that comes before, and the handlers inherited at the fork are
        the arbiter's. So a stop ends the process as it is, which has begun nothing yet."""
        for number in self.SIGNALS:
            signal.signal(number, signal.SIG_IGN if number == signal.SIGUSR1 else signal.SIG_DFL)

    def handle_exit_signal(self) -> None:
        self.alive = False
        if self._listening is not None:
            self._listening.close()
        drain.begin()
        self._stopping.set()

    handle_quit_signal = handle_exit_signal

    async def _serve(self) -> None:
        super().init_signals()
        self.lifespan = LifespanManager(self.asgi, self.log, self.state)
        try:
            await self.lifespan.startup()
        except RuntimeError as fault:
            self.log.error("Cannot start: %s", fault)
            raise SystemExit(Arbiter.WORKER_BOOT_ERROR) from None
        if self.follows:
            # That one ends its streams now: a camera that takes one reader at a time must be free again.
            self._tell_arbiter(signal.SIGTTOU)
            await asyncio.sleep(HANDOVER)
        self._listening = Listening(self)
        await self._listening.start()
        while not self._stopping.is_set() and self.ppid == os.getppid():
            self.notify()
            self._watch()
            await self._listening.look()
            await self._sleep(WATCH_EVERY)
        await self._shutdown()

    def _tell_arbiter(self, number: signal.Signals) -> None:
        if self.ppid == os.getppid():
            os.kill(self.ppid, number)

    async def _sleep(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    def _watch(self) -> None:
        self.grants.sweep()
        now = self.loop.time()
        for connection in list(self.connections):
            connection.close_if_mute(now)
            if connection.look_at > now:
                continue
            connection.look_at = now + min(connection.patience, PATIENCE) / LOOKS
            if connection.abort_if_stalled(now):
                self.log.info("Aborted a client that took no byte for %.0f s", connection.patience)

    async def _shutdown(self) -> None:
        """Downloads get their grace; endless streams have ended in `handle_exit_signal`."""
        self.handle_exit_signal()
        began = self.loop.time()
        elapsed = 0.0
        while self.connections and elapsed < settings.DOWNLOAD_GRACE + ENDING:
            # However long the grace, to the arbiter a worker without a heartbeat is one that hangs.
            self.notify()
            for connection in list(self.connections):
                connection.wind_up(elapsed, settings.DOWNLOAD_GRACE)
            await asyncio.sleep(0.02)
            elapsed = self.loop.time() - began
        assert self.lifespan is not None
        await self.lifespan.shutdown()
        # Python waits at its exit for threads, and one may work for a while yet for a request that was cut.
        end = threading.Timer(LAST_WORK, os._exit, [0])
        end.daemon = True
        end.start()
        gc.freeze()  # nor need it look through all objects for cycles: a sixth of a second that frees nothing more

"""gunicorn's ASGI worker, taught to stop at once and to notice who has stopped reading.

What differs from gunicorn's own, and why:

- A stop signal closes the drain latch in the handler itself, not after the graceful timeout, and SIGINT
  and SIGQUIT drain like SIGTERM (gunicorn would cut downloads and skip lifespan shutdown).
- Stopping does not wait for the heartbeat's next second, nor for idle kept-alive connections.
- The listen backlog is the configured one: `create_server` would reset it to its own default of 100.
- A watchdog aborts sockets that take no byte (decision 14 in docs/architecture.md), and closes those that
  have asked nothing; past `worker_connections`, which gunicorn does not enforce here, clients get a 503.
- The worker dies with its arbiter: PR_SET_PDEATHSIG, so that a kill -9 of the arbiter ends it and its
  children within moments rather than at the next heartbeat.

Relied on inside gunicorn: ASGIWorker's attributes `loop`, `servers`, `alive`, `nr_conns`, `lifespan`,
`state`, `asgi`, `ppid`, and the methods overridden here. tests/server/test_gunicorn.py guards them.
"""

import asyncio
import ctypes
import os
import resource
import signal
import socket
from contextlib import suppress
from typing import Any

from django.conf import settings
from gunicorn.arbiter import Arbiter
from gunicorn.asgi.lifespan import LifespanManager
from gunicorn.workers.gasgi import ASGIWorker

from mediastream import drain
from mediastream.server.connection import Connection

PR_SET_PDEATHSIG = 1  # prctl(2)
TCP_NOTSENT_LOWAT = 25  # tcp(7); Python's socket module has no name for it before 3.13
NOT_SENT = 128 * 1024  # bytes
PER_CONNECTION = 4  # descriptors: the socket, the file or pipes behind it, and some for all the rest
WATCH_EVERY = 1.0  # seconds: the heartbeat, and how precisely patience is kept


def descriptors() -> int:
    """The most files this process may have open: as many as the system lets it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


class MediaWorker(ASGIWorker):  # type: ignore[misc]
    """Set as `worker_class` in gunicorn_conf.py."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.connections: set[Connection] = set()
        self._stopping = asyncio.Event()
        self.most_connections = self.cfg.worker_connections

    def init_process(self) -> None:
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != self.ppid:  # it died before the line above
            raise SystemExit(0)
        self.most_connections = min(self.cfg.worker_connections, descriptors() // PER_CONNECTION)
        super().init_process()

    def handle_exit_signal(self) -> None:
        self.alive = False
        for server in self.servers:
            server.close()
        drain.begin()
        self._stopping.set()

    handle_quit_signal = handle_exit_signal

    async def _serve(self) -> None:
        self.lifespan = LifespanManager(self.asgi, self.log, self.state)
        try:
            await self.lifespan.startup()
        except RuntimeError as fault:
            self.log.error("Cannot start: %s", fault)
            raise SystemExit(Arbiter.WORKER_BOOT_ERROR) from None
        await self._listen()
        while self.alive and self.ppid == os.getppid():
            self.notify()
            self._watch()
            await self._sleep(WATCH_EVERY)
        await self._shutdown()

    async def _listen(self) -> None:
        for listener in self.sockets:
            if listener.sock.family in (socket.AF_INET, socket.AF_INET6):
                # Inherited by what it accepts: what a paused client may hold of the kernel's memory.
                listener.sock.setsockopt(socket.IPPROTO_TCP, TCP_NOTSENT_LOWAT, NOT_SENT)
            server = await self.loop.create_server(
                lambda: Connection(self),
                sock=listener.sock,
                backlog=self.cfg.backlog,
                ssl=self._get_ssl_context(),
            )
            self.servers.append(server)

    async def _sleep(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    def _watch(self) -> None:
        now = self.loop.time()
        for connection in list(self.connections):
            connection.close_if_mute(now)
            if connection.abort_if_stalled(now):
                self.log.info("Aborted a client that took no byte for %.0f s", connection.patience)

    async def _shutdown(self) -> None:
        """Downloads get their grace; endless streams have ended in `handle_exit_signal`."""
        self.handle_exit_signal()
        deadline = self.loop.time() + settings.DOWNLOAD_GRACE
        while self.connections and self.loop.time() < deadline:
            for connection in list(self.connections):
                connection.close_if_idle()
            await asyncio.sleep(0.02)
        for connection in list(self.connections):
            connection.transport.abort()
        assert self.lifespan is not None
        await self.lifespan.shutdown()

"""The listening sockets, and what becomes of new clients when descriptors run out.

uvloop (libuv) has a spare descriptor: when accept(2) finds none, it closes the spare, accepts the client and closes it
without a word. When that fails too, as another thread has taken the spare or the limit was lowered, the waiting client
keeps the socket readable and the loop turns at 100 % of the processor. So the last descriptors are not given to
clients: these are told to come again. And when there are none at all nobody listens, and clients wait in the kernel's
queue: so asyncio does it, which pauses for a second.
"""

import asyncio
import logging
import os
import resource
import socket
from typing import TYPE_CHECKING

from mediastream.seldom import Seldom
from mediastream.server import unsent
from mediastream.server.connection import FULL, Connection

if TYPE_CHECKING:
    from mediastream.server.worker import MediaWorker

PER_CONNECTION = 4  # descriptors: the socket, its duplicate, the file or pipes behind it, and some for all the rest
BATCH = 32  # clients who are let in before it is counted again
SPARE = 24  # descriptors that no new client gets: for files, FFmpegs and database connections of those who are here
LINGER = 1.0  # seconds

_logger = logging.getLogger(__name__)


def descriptors_left() -> int:
    """How many more this process may open. Not tried out: meanwhile other threads would find none.

    Since Linux 6.2 the folder's size is the number of those in use (proc_pid_fd(5)). To list it takes one, and leaves
    out what a thread that waits in accept(2) has taken for its next client.
    """
    try:
        used = os.stat("/proc/self/fd").st_size or len(os.listdir("/proc/self/fd")) - 1
    except OSError:
        return 0
    return max(resource.getrlimit(resource.RLIMIT_NOFILE)[0] - used, 0)


class Refusal(asyncio.Protocol):
    """A client that is told to come again. Its request is dropped for a moment, unless even that is too long: a close
    with unread bytes is a reset, which may overtake the answer (RFC 9112 section 9.6)."""

    def __init__(self, linger: float) -> None:
        self._linger = linger
        self._end: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        transport.write(FULL)
        if self._linger and transport.can_write_eof():
            transport.write_eof()
            self._end = asyncio.get_running_loop().call_later(self._linger, transport.abort)
        else:
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._end is not None:
            self._end.cancel()


class Listening:
    """The worker's listening sockets. `accepting`: whether clients are taken from the kernel's queue now."""

    def __init__(self, worker: "MediaWorker") -> None:
        self._worker = worker
        self._sockets: list[socket.socket] = [listener.sock for listener in worker.sockets]
        self._servers: list[asyncio.AbstractServer] = []
        self._room = 0  # descriptors that were left when last counted, less what has been let in since
        self._refused, self._waiting = Seldom(_logger), Seldom(_logger)
        for listener in self._sockets:
            unsent.allow(listener, unsent.USUAL)

    @property
    def accepting(self) -> bool:
        return bool(self._servers)

    async def start(self) -> None:
        worker = self._worker
        for listener in self._sockets:
            server = await worker.loop.create_server(
                self._protocol,
                sock=listener.dup(),  # closed with the server
                backlog=worker.cfg.backlog,
                ssl=worker._get_ssl_context(),
            )
            self._servers.append(server)

    def pause(self) -> None:
        while self._servers:
            self._servers.pop().close()

    def close(self) -> None:
        """Leave the sockets to other workers, and to nobody if there are none."""
        self.pause()
        while self._sockets:
            self._sockets.pop().close()

    async def look(self) -> None:
        """Pause when no descriptor is left, and start again when there are enough."""
        self._room = 0
        left = descriptors_left()
        if self.accepting and left == 0:
            self.pause()
            self._waiting.warning("no descriptor is left: new clients wait until there are some")
        elif not self.accepting and self._sockets and left >= SPARE // 2:
            try:
                await self.start()
            except OSError:  # somebody was quicker; in a second it is tried again
                self.pause()

    def _protocol(self) -> asyncio.Protocol:
        here, most = len(self._worker.connections), self._worker.most_connections
        if self._room < SPARE + PER_CONNECTION:
            self._room = min(descriptors_left(), SPARE + BATCH * PER_CONNECTION)
        if here < most and self._room >= SPARE + PER_CONNECTION:
            self._room -= PER_CONNECTION
            connection: asyncio.Protocol = Connection(self._worker)
            return connection
        left, self._room = self._room, 0
        self._refused.warning("refused a client: %d of %d are here, and %d descriptors are left", here, most, left)
        return Refusal(LINGER if left >= SPARE // 2 else 0)

"""Events from processes that hold no topics to those that do: a unix socket for each that serves.

The bus (bus.py) carries hints, and drops them when a queue is full; an event is the thing itself. So it goes over a
stream socket, and its publisher waits, for a bounded time, until it has been taken. The sockets lie in the data folder
beside the bus's, which nobody else may enter.

    event = length (uint32, big-endian) JSON
    answer = "+" or "-"
"""

import asyncio
import json
import logging
import os
import secrets
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from django.conf import settings

from mediastream.errors import Fault
from mediastream.feeds.events import MOST_BYTES, Event, EventInvalid
from mediastream.seldom import Seldom

logger = logging.getLogger(__name__)
_refused = Seldom(logger)

LENGTH = struct.Struct("!I")
LONGEST = MOST_BYTES + 4096  # bytes: the data, and what is around it
DEADLINE = 2.0  # seconds a publisher waits
IDLE = 60.0  # seconds a connection may be silent
AT_ONCE = 64  # connections

Take = Callable[[str, Event], object]


class Listener:
    """This process's socket. `take` is called on its loop."""

    def __init__(self, take: Take, loop: asyncio.AbstractEventLoop, folder: int, path: Path) -> None:
        self._take = take
        self._loop = loop
        self._folder = folder
        self._path = path
        self._open: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @classmethod
    async def start(cls, take: Take) -> "Listener":
        """Raises OSError."""
        folder = _folder()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.chmod(0o700)
        opened = os.open(folder, os.O_PATH | os.O_DIRECTORY)
        path = folder / f"{os.getpid()}-{secrets.token_hex(4)}.sock"
        made = cls(take, asyncio.get_running_loop(), opened, path)
        try:
            # By /proc, as sun_path takes 108 bytes (bus.py).
            at = f"/proc/self/fd/{opened}/{path.name}"
            made._server = await asyncio.start_unix_server(made._serve, at, limit=2 * LONGEST)
        except BaseException:
            os.close(opened)
            raise
        return made

    @property
    def alive(self) -> bool:
        return not self._loop.is_closed() and self._loop.is_running()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            if len(self._open) <= AT_ONCE:
                async with asyncio.timeout(IDLE):
                    while await self._one(reader, writer):
                        pass
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            pass  # its publisher has ended
        finally:
            self._open.discard(task)
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        (size,) = LENGTH.unpack(await reader.readexactly(LENGTH.size))
        if size > LONGEST:
            return False
        writer.write(b"+" if self._taken(await reader.readexactly(size)) else b"-")
        await writer.drain()
        return True

    def _taken(self, said: bytes) -> bool:
        try:
            topic, name, key, at, data = json.loads(said)
            self._take(topic, Event(data, name, key, at))
        except Fault as fault:
            _refused.warning("an event of another process for topic %s is lost: %s", topic, fault)
        except Exception:
            logger.exception("an event of another process could not be taken")
        else:
            return True
        return False

    async def close(self) -> None:
        """Safe to repeat."""
        if self._server is not None:
            self._server.close()
            self._server = None
            os.close(self._folder)
            self._path.unlink(missing_ok=True)
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)


def send(topic: str, event: Event) -> int:
    """Hand the event to every process that serves; how many took it. Blocks for DEADLINE seconds for each at most."""
    said = json.dumps([topic, event.name, event.key, event.time, event.data]).encode()
    if len(said) > LONGEST:
        # ASCII, in which other letters are longer.
        said = json.dumps([topic, event.name, event.key, event.time, event.data], ensure_ascii=False).encode()
    if len(said) > LONGEST:
        raise EventInvalid("The event is too large to be published from another process.")
    try:
        folder = os.open(_folder(), os.O_PATH | os.O_DIRECTORY)
    except FileNotFoundError:
        return 0
    try:
        return sum(_told(LENGTH.pack(len(said)) + said, folder, path) for path in _folder().glob("*.sock"))
    finally:
        os.close(folder)


def _told(said: bytes, folder: int, path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(DEADLINE)
        try:
            connection.connect(f"/proc/self/fd/{folder}/{path.name}")
            connection.sendall(said)
            return connection.recv(1) == b"+"
        except ConnectionRefusedError:  # its process was killed
            with suppress(OSError):
                path.unlink()
        except OSError as fault:
            if not isinstance(fault, FileNotFoundError):
                logger.warning("an event could not be published to another process: %s", fault)
        return False


def _folder() -> Path:
    return Path(settings.DATA_DIR) / "feeds"

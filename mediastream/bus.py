"""What crosses the processes of one host: notices, and leases.

A notice says that something has changed: the web process, the job worker and `manage.py` tell each other so.
Each process that listens has a datagram socket of its own in the data folder, and a notice goes to every one
of them. It is a hint, not a record: one that finds a full queue is dropped, and whoever relies on what it
tells also looks for itself (rows.py).

A lease is an exclusive lock on a file (flock(2)): the kernel gives it back when its holder ends, however that
happens.
"""

import asyncio
import errno
import fcntl
import json
import logging
import os
import secrets
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

logger = logging.getLogger(__name__)

LONGEST = 4096  # bytes of one notice

OnNotice = Callable[[str, str], None]

_folder: Path | None = None


def configure(folder: Path) -> None:
    """Where the sockets and locks of all this host's processes lie; made if it is missing."""
    global _folder
    folder.mkdir(parents=True, exist_ok=True)
    _folder = folder


def _at(folder: int, name: str) -> str:
    """The address of a socket in a folder that is open: a path of any length, where sun_path takes 108 bytes."""
    return f"/proc/self/fd/{folder}/{name}"


def notify(topic: str, key: str) -> None:
    """Tell every listening process of this host. Any thread may call; nothing is waited for."""
    if _folder is None:
        return
    data = json.dumps([topic, key]).encode()
    if len(data) > LONGEST:
        raise ValueError("a notice names what has changed, and carries nothing of it")
    folder = os.open(_folder, os.O_PATH | os.O_DIRECTORY)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender:
            for path in _folder.glob("*.sock"):
                _send(sender, data, folder, path)
    finally:
        os.close(folder)


def _send(sender: socket.socket, data: bytes, folder: int, path: Path) -> None:
    try:
        sender.sendto(data, _at(folder, path.name))
    except ConnectionRefusedError:  # its process was killed
        path.unlink(missing_ok=True)
    except FileNotFoundError:
        pass
    except OSError as fault:
        if fault.errno != errno.EAGAIN:
            logger.warning("a notice could not be sent: %s", fault.strerror)


class Listener:
    """This process's socket. `on_notice` is called on the loop that made it, with topic and key."""

    def __init__(self, on_notice: OnNotice) -> None:
        assert _folder is not None
        self._on_notice = on_notice
        self._loop = asyncio.get_running_loop()
        self._path = _folder / f"{os.getpid()}-{secrets.token_hex(4)}.sock"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            folder = os.open(_folder, os.O_PATH | os.O_DIRECTORY)
            try:
                self._socket.bind(_at(folder, self._path.name))
            finally:
                os.close(folder)
        except BaseException:
            self._socket.close()
            raise
        self._loop.add_reader(self._socket, self._read)

    def _read(self) -> None:
        with suppress(BlockingIOError):
            for _ in range(100):  # then a turn for the others
                data = self._socket.recv(LONGEST)
                try:
                    topic, key = json.loads(data)
                    self._on_notice(str(topic), str(key))
                except Exception:
                    logger.exception("a notice could not be taken")

    def close(self) -> None:
        """On its loop, or when that no longer runs. Safe to repeat."""
        if not self._loop.is_closed() and self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket)
        self._socket.close()
        self._path.unlink(missing_ok=True)


class Lease:
    """An exclusive right among this host's processes, by name. Held until `release`, or the process's end."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def take(cls, name: str) -> "Lease | None":
        """The lease, or None while another holds it."""
        assert _folder is not None
        descriptor = os.open(_folder / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except BaseException:
            os.close(descriptor)
            raise
        return cls(descriptor)

    def release(self) -> None:
        """Safe to repeat."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

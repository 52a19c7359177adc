"""A file's bytes to a socket without passing through this process: sendfile(2).

It is the ASGI extension `http.response.zerocopysend`. uvloop has no `loop.sendfile`, and does not let
`add_writer` watch a descriptor that one of its transports owns; so the bytes go out on a duplicate of the
socket, which is opened with the first of them and closed with the connection. The transport goes on
reading, and so learns of a client that leaves.

sendfile blocks on pages that are not in memory, and the loop must not wait for a disk: a window of the
file is sent from the loop only if preadv2(2) with RWF_NOWAIT says it is there, and is otherwise read
ahead in a thread first.
"""

import asyncio
import errno
import os
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from mediastream.errors import StreamCut

WINDOW = 256 * 1024  # bytes looked at, or read ahead, at once
BUDGET = 1024 * 1024  # bytes for one client in one turn of the loop, so that a fast one starves nobody

_read_ahead = ThreadPoolExecutor(max_workers=8, thread_name_prefix="read-ahead")


class FileSlice:
    """`count` bytes of a file, going through gunicorn's `send` as a body of that length.

    gunicorn counts len(body) against the Content-Length and hands the body to `_send_body`, which we
    override; a false body of another class than bytes is left as it is on the way.
    """

    def __init__(self, fd: int, offset: int, count: int) -> None:
        self.fd, self.offset, self.count = fd, offset, count

    def __len__(self) -> int:
        return self.count

    def __bool__(self) -> bool:
        return False


class Disconnected(ConnectionError):
    """The client is gone."""


class SocketSender:
    """Sends on a duplicate of a connection's socket. `progress` is told of every number of bytes taken."""

    def __init__(self, fileno: int, progress: Callable[[int], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._socket = socket.socket(fileno=os.dup(fileno))
        self._socket.setblocking(False)
        self._progress = progress
        self._writable: asyncio.Future[None] | None = None

    def close(self) -> None:
        """The client is gone or the connection ends: whoever waits is told."""
        if self._writable is not None and not self._writable.done():
            self._writable.set_exception(Disconnected())
        if self._socket.fileno() >= 0:
            self._loop.remove_writer(self._socket)
            self._socket.close()

    async def send_head(self, data: bytes) -> None:
        """Bytes that the file's follow at once: MSG_MORE lets them share a packet."""
        view = memoryview(data)
        while view:
            try:
                sent = self._socket.send(view, socket.MSG_MORE)
            except BlockingIOError:
                await self._wait()
                continue
            except OSError as fault:
                raise Disconnected from fault
            self._progress(sent)
            view = view[sent:]

    async def send_file(self, part: FileSlice) -> None:
        """Raises StreamCut if the file is shorter than it was, Disconnected if the client is gone."""
        offset, end, budget = part.offset, part.offset + part.count, BUDGET
        while offset < end:
            window = min(WINDOW, end - offset)
            if not resident(part.fd, offset, window):
                await self._loop.run_in_executor(_read_ahead, read_ahead, part.fd, offset, window)
            sent = await self._send_some(part.fd, offset, window)
            offset, budget = offset + sent, budget - sent
            if budget <= 0:
                budget = BUDGET
                await asyncio.sleep(0)

    async def _send_some(self, fd: int, offset: int, count: int) -> int:
        while True:
            if self._socket.fileno() < 0:
                raise Disconnected
            try:
                sent = os.sendfile(self._socket.fileno(), fd, offset, count)
            except BlockingIOError:
                await self._wait()
                continue
            except OSError as fault:
                if fault.errno == errno.EIO:
                    raise StreamCut("the file cannot be read") from None
                raise Disconnected from fault
            if sent == 0:
                raise StreamCut(f"the file ends at byte {offset}, {count} and more before its promised length")
            self._progress(sent)
            return sent

    async def _wait(self) -> None:
        """Until the socket takes more. The watch stays only while somebody waits."""
        if self._socket.fileno() < 0:
            raise Disconnected
        self._writable = self._loop.create_future()
        self._loop.add_writer(self._socket, self._wake)
        try:
            await self._writable
        finally:
            if self._socket.fileno() >= 0:
                self._loop.remove_writer(self._socket)
            self._writable = None

    def _wake(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)


def resident(fd: int, offset: int, count: int) -> bool:
    """Whether the first and the last byte of a window are in memory; a past-the-end byte needs no disk."""
    one = [bytearray(1)]
    try:
        os.preadv(fd, one, offset, os.RWF_NOWAIT)
        os.preadv(fd, one, offset + count - 1, os.RWF_NOWAIT)
    except OSError as fault:
        # Not known by this file system: then it is one in memory, or one whose reads must not be on the loop.
        return fault.errno not in (errno.EAGAIN, errno.EOPNOTSUPP, errno.EINVAL)
    return True


def read_ahead(fd: int, offset: int, count: int) -> None:
    """Bring a window into memory; runs in a thread. The kernel's own read-ahead goes on from there."""
    os.posix_fadvise(fd, offset, 4 * count, os.POSIX_FADV_WILLNEED)
    os.pread(fd, count, offset)

"""A file's bytes to a socket without passing through this process: sendfile(2).

It is the ASGI extension `http.response.zerocopysend`. uvloop has no `loop.sendfile`, and does not let
`add_writer` watch a descriptor that one of its transports owns; so the bytes go out on a duplicate of the
socket, which is opened with the first of them and closed with the connection. The transport goes on
reading, and so learns of a client that leaves.

No task and no coroutine: most ranges fit into the socket's buffer and are out when `start` returns; the
rest goes on in the loop's own callbacks, whenever the socket takes more.

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
from typing import Protocol

from mediastream.errors import StreamCut
from mediastream.pipe import Pipe

WINDOW = 256 * 1024  # bytes looked at, or read ahead, at once
BUDGET = 1024 * 1024  # bytes for one client in one turn of the loop, so that a fast one starves nobody

# What the kernel says of a socket whose client is gone, or cannot be reached any more.
_GONE = {
    errno.EPIPE, errno.ECONNRESET, errno.ECONNABORTED, errno.ENOTCONN, errno.ESHUTDOWN, errno.ETIMEDOUT,
    errno.EHOSTUNREACH, errno.EHOSTDOWN, errno.ENETUNREACH, errno.ENETDOWN, errno.EBADF,
}  # fmt: skip

_read_ahead = ThreadPoolExecutor(max_workers=8, thread_name_prefix="read-ahead")
_one_byte = [bytearray(1)]

Ended = Callable[[Exception | None], None]


class Counter(Protocol):
    """Who is told how many bytes have gone: mediastream.streams.Stream is one."""

    bytes: int


class FileSlice:
    """`count` bytes of a file, going through gunicorn's `send` as a body of that length; `window`: of them at once.

    gunicorn counts len(body) against the Content-Length and hands the body to `_send_body`, which we
    override; a false body of another class than bytes is left as it is on the way.
    """

    __slots__ = ("count", "counter", "fd", "offset")

    window = WINDOW

    def __init__(self, fd: int, offset: int, count: int, counter: Counter | None = None) -> None:
        self.fd, self.offset, self.count, self.counter = fd, offset, count, counter

    def __len__(self) -> int:
        return self.count

    def __bool__(self) -> bool:
        return False

    def in_memory(self, size: int) -> bool:
        return resident(self.fd, self.offset, size)

    def send(self, to: int, size: int) -> int:
        return os.sendfile(to, self.fd, self.offset, size)


class PipeSlice(FileSlice):
    """`count` bytes that a pipe holds, and that nobody else takes from it."""

    __slots__ = ("_pipe",)

    window = BUDGET  # there is no disk to wait for

    def __init__(self, pipe: Pipe, count: int, counter: Counter) -> None:
        super().__init__(pipe.fd, 0, count, counter)
        self._pipe = pipe

    def in_memory(self, size: int) -> bool:
        return True

    def send(self, to: int, size: int) -> int:
        """Its child may be ended at any time, which closes the pipe; its descriptor may be another's then."""
        if self._pipe.fd < 0:
            raise StreamCut("its child was ended")
        return os.splice(self._pipe.fd, to, size, flags=os.SPLICE_F_NONBLOCK)


class Disconnected(ConnectionError):
    """The client is gone."""


class SocketSender:
    """Sends on a duplicate of a connection's socket, one slice of a file at a time.

    `sent`: bytes the kernel has taken, ever.
    """

    def __init__(self, watched: socket.socket) -> None:
        self._loop = asyncio.get_running_loop()
        # With its family named Python need not ask the kernel for it.
        self._socket = socket.socket(watched.family, watched.type, watched.proto, os.dup(watched.fileno()))
        self._socket.setblocking(False)
        self.sent = 0
        self._head, self._tail = bytearray(), bytearray()
        self._part: FileSlice | None = None
        self._ended: Ended | None = None
        self._resident = 0  # up to here the file is known to be in memory
        self._watching = False

    def start(self, head: bytes, part: FileSlice, ended: Ended, tail: bytes = b"") -> None:
        """Send `head`, `part` and `tail`; then call `ended`, perhaps before this returns.

        It is given None, StreamCut if the file is shorter than it was or cannot be read, or Disconnected.
        """
        self._head, self._tail = bytearray(head), bytearray(tail)
        self._part, self._ended, self._resident = part, ended, part.offset
        self._go()

    def stop(self) -> None:
        """Forget the work under way; the file may be closed after this. A thread that reads ahead for it may then
        read of the file that was given the same descriptor, which does no harm: nobody gets what it reads."""
        self._part = self._ended = None
        self._unwatch()

    def close(self) -> None:
        """The client is gone or the connection ends: whoever waits is told."""
        self._end(Disconnected())
        self._socket.close()

    def _end(self, fault: Exception | None) -> None:
        ended = self._ended
        self.stop()
        if ended is not None:
            ended(fault)

    def _go(self) -> None:
        """Send until all is out, or the socket, the disk or the budget asks for patience."""
        part = self._part
        if part is None:
            return
        try:
            self._send_text(self._head, socket.MSG_MORE)  # so that it may share a packet with what follows at once
            finished = self._send_file(part)
            if finished:
                self._send_text(self._tail)
        except BlockingIOError:
            self._watch()
        except StreamCut as cut:
            self._end(cut)
        except OSError as fault:
            # sendfile(2) says by its errno alone whether the file is at fault or the socket.
            self._end(Disconnected() if fault.errno in _GONE else StreamCut(f"the file cannot be sent: {fault}"))
        else:
            # Not above: whoever is told may start the next, whose faults are its own.
            if finished:
                self._end(None)

    def _send_text(self, text: bytearray, flags: int = 0) -> None:
        """What the socket has taken is no longer in it."""
        while text:
            taken = self._socket.send(text, flags)
            self.sent += taken
            del text[:taken]

    def _send_file(self, part: FileSlice) -> bool:
        """True if all of it is out; else somebody will call `_go` again."""
        budget = BUDGET
        while part.count:
            window = min(part.window, part.count)
            if part.offset + window > self._resident and not part.in_memory(window):
                self._read_ahead(part, window)
                return False
            taken = part.send(self._socket.fileno(), window)
            if taken == 0:
                raise StreamCut(f"the file ends at byte {part.offset}, {part.count} before its promised length")
            self.sent += taken
            part.offset += taken
            part.count -= taken
            budget -= taken
            if part.counter is not None:
                part.counter.bytes += taken
            if budget <= 0 and part.count:
                self._watch()  # a turn for the others: the loop comes back if the socket still takes more
                return False
        return True

    def _read_ahead(self, part: FileSlice, window: int) -> None:
        self._unwatch()
        until = part.offset + window

        def done(reading: "asyncio.Future[None]") -> None:
            failed = reading.cancelled() or reading.exception() is not None
            if self._part is not part:
                return
            if failed:
                self._end(StreamCut("the file cannot be read"))
            else:
                # Sent without another look: not every file system can say what is in memory.
                self._resident = until
                self._go()

        reading = self._loop.run_in_executor(_read_ahead, read_ahead, part.fd, part.offset, window)
        reading.add_done_callback(done)

    def _watch(self) -> None:
        if not self._watching:
            self._watching = True
            self._loop.add_writer(self._socket, self._go)

    def _unwatch(self) -> None:
        if self._watching:
            self._watching = False
            self._loop.remove_writer(self._socket)


def resident(fd: int, offset: int, count: int) -> bool:
    """Whether the first and the last byte of a window are in memory; a past-the-end byte needs no disk."""
    try:
        os.preadv(fd, _one_byte, offset, os.RWF_NOWAIT)
        os.preadv(fd, _one_byte, offset + count - 1, os.RWF_NOWAIT)
    except OSError as fault:
        # Not known by this file system: then it is one in memory, or one whose reads must not be on the loop.
        return fault.errno not in (errno.EAGAIN, errno.EOPNOTSUPP, errno.EINVAL)
    return True


def read_ahead(fd: int, offset: int, count: int) -> None:
    """Bring a window into memory; runs in a thread. The kernel's own read-ahead goes on from there."""
    os.posix_fadvise(fd, offset, 4 * count, os.POSIX_FADV_WILLNEED)
    os.pread(fd, count, offset)

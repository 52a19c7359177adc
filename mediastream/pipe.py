"""A child's output by a pipe of ours, read when it is asked for.

asyncio reads a pipe ahead, in pieces of 64 KiB, and copies each twice. Here nothing is read that nobody wants, what
there is comes at once; or it is moved on by splice(2), by who asks how much there is (server/splicing.py).
"""

import asyncio
import fcntl
import os
import select
import sys
import termios
import warnings
from collections.abc import Callable
from contextlib import suppress

WIDE = 1024 * 1024  # bytes; the most that the kernel lets anybody have


class Pipe:
    """`child_end` goes to the child, and is closed here then. `wide`: for what is sent on as fast as it comes, more
    than the kernel's 64 KiB fits into it, so that the child need not wait for us each time. `enough`: bytes in it that
    are worth a turn of the loop, if more are on their way. Lives on the home loop; is to be closed, or read to its end.
    """

    fd = child_end = -1  # until there are any

    def __init__(self, *, wide: bool = False) -> None:
        self._loop = asyncio.get_running_loop()
        self.fd, self.child_end = os.pipe()
        os.set_blocking(self.fd, False)
        if wide:
            with suppress(OSError):  # a user may have so much in pipes, and no more
                fcntl.fcntl(self.fd, fcntl.F_SETPIPE_SZ, WIDE)
        self.enough = fcntl.fcntl(self.fd, fcntl.F_GETPIPE_SZ) // 2
        self._state = select.poll()
        self._state.register(self.fd, select.POLLIN)
        self._watcher: Callable[[], object] | None = None

    def handed_over(self) -> None:
        """The child has its end: ours of it would keep the pipe open after it."""
        os.close(self.child_end)
        self.child_end = -1

    async def read(self, size: int) -> bytes:
        """Up to `size` bytes as soon as there are any; b"" at its end, and once it is closed.

        Always suspends: a child that says more than we can read would have the loop for itself.
        """
        await asyncio.sleep(0)
        while self.fd >= 0:
            try:
                data = os.read(self.fd, size)
            except BlockingIOError:
                await self._wait()
            else:
                if not data:
                    self.close()
                return data
        return b""

    def count(self) -> int | None:
        """Bytes in it; 0 if no more will come, None if there are none yet."""
        if self.fd < 0:
            return 0
        return self._held() or (self._held() if self._state.poll(0) else None)

    def _held(self) -> int:
        return int.from_bytes(fcntl.ioctl(self.fd, termios.FIONREAD, bytes(4)), sys.byteorder)

    def watch(self, watcher: Callable[[], object]) -> None:
        """Call `watcher` once, when there is something in it or it has come to its end."""
        assert self._watcher is None, "somebody waits for it already"
        self._watcher = watcher
        self._loop.add_reader(self.fd, self._tell)

    def unwatch(self) -> None:
        """Safe to repeat."""
        if self._watcher is not None:
            self._watcher = None
            if not self._loop.is_closed():
                self._loop.remove_reader(self.fd)

    def _tell(self) -> None:
        watcher = self._watcher
        self.unwatch()
        if watcher is not None:
            watcher()

    async def _wait(self) -> None:
        readable = asyncio.Event()
        self.watch(readable.set)
        try:
            await readable.wait()
        finally:
            self.unwatch()

    def close(self) -> None:
        """Whoever reads sees its end. Safe to repeat."""
        if self.child_end >= 0:
            self.handed_over()
        if self.fd >= 0:
            watcher = self._watcher
            self.unwatch()
            self._let_go()
            if watcher is not None:
                watcher()

    def _let_go(self) -> None:
        fd, self.fd = self.fd, -1
        os.close(fd)

    def __del__(self) -> None:
        if self.fd >= 0:
            self._let_go()
            warnings.warn("a pipe was not closed", ResourceWarning, source=self, stacklevel=2)

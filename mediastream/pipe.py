"""A child's stdout by a pipe of ours, for what is sent on as fast as it comes.

asyncio reads a pipe in pieces of 64 KiB, as much as one holds by itself, and copies each twice. Here more fits into it,
so that the child need not wait for us each time, and what there is is read at once, when it is asked for; or is moved
on by splice(2), by who asks how much there is (server/splicing.py).
"""

import asyncio
import fcntl
import os
import select
import sys
import termios
from collections.abc import Callable
from contextlib import suppress

SIZE = 1024 * 1024  # bytes; the most that the kernel lets anybody have


class Pipe:
    """`child_end` goes to the child, and is closed here then; `enough`: bytes in it that are worth a turn of the loop,
    if more are on their way. Lives on the home loop."""

    def __init__(self) -> None:
        self.fd, self.child_end = os.pipe()
        os.set_blocking(self.fd, False)
        self.enough = 0
        with suppress(OSError):  # a user may have so much in pipes, and no more
            self.enough = fcntl.fcntl(self.fd, fcntl.F_SETPIPE_SZ, SIZE) // 2
        self._state = select.poll()
        self._state.register(self.fd, select.POLLIN)
        self._watcher: Callable[[], object] | None = None

    def handed_over(self) -> None:
        """The child has its end: ours of it would keep the pipe open after it."""
        os.close(self.child_end)
        self.child_end = -1

    async def read(self, size: int) -> bytes:
        """Up to `size` bytes as soon as there are any; b"" at its end, and once it is closed."""
        while self.fd >= 0:
            try:
                return os.read(self.fd, size)
            except BlockingIOError:
                await self._wait()
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
        self._watcher = watcher
        asyncio.get_running_loop().add_reader(self.fd, self._tell)

    def unwatch(self) -> None:
        """Safe to repeat."""
        if self._watcher is not None:
            self._watcher = None
            asyncio.get_running_loop().remove_reader(self.fd)

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
            os.close(self.fd)
            self.fd = -1
            if watcher is not None:
                watcher()

"""A child's stdout by a pipe of ours, for what is sent on as fast as it comes.

asyncio reads a pipe in pieces of 64 KiB, as much as one holds by itself, and copies each twice. Here more fits into it,
so that the child need not wait for us each time, and what there is is read at once, when it is asked for.
"""

import asyncio
import fcntl
import os
from contextlib import suppress

SIZE = 1024 * 1024  # bytes; the most that the kernel lets anybody have


class Pipe:
    """`child_end` goes to the child, and is closed here then. Lives on the home loop."""

    def __init__(self) -> None:
        self.fd, self.child_end = os.pipe()
        os.set_blocking(self.fd, False)
        with suppress(OSError):  # a user may have so much in pipes, and no more
            fcntl.fcntl(self.fd, fcntl.F_SETPIPE_SZ, SIZE)
        self._readable: asyncio.Future[None] | None = None

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

    async def _wait(self) -> None:
        loop = asyncio.get_running_loop()
        readable = self._readable = loop.create_future()
        loop.add_reader(self.fd, _tell, readable)
        try:
            await readable
        finally:
            self._readable = None
            if self.fd >= 0:
                loop.remove_reader(self.fd)

    def close(self) -> None:
        """Whoever reads sees its end. Safe to repeat."""
        if self.child_end >= 0:
            self.handed_over()
        if self.fd >= 0:
            if self._readable is not None:
                self._readable.get_loop().remove_reader(self.fd)
                _tell(self._readable)
            os.close(self.fd)
            self.fd = -1


def _tell(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)

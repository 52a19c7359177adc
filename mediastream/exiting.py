"""That a child has ended, told by the kernel: pidfd_open(2), of Linux 5.3.

Not by SIGCHLD, which reaches the main thread alone and is one for all children. Nobody's number is given away by it:
the child stays a zombie, and its number its own, until it is reaped.
"""

import asyncio
import os


class Exit:
    """When process `pid`, a child of ours that is not reaped yet, has ended. Is to be closed."""

    def __init__(self, pid: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        self._fd = os.pidfd_open(pid)
        self._loop.add_reader(self._fd, self._tell)

    def __bool__(self) -> bool:
        """Whether it has."""
        return self._ended.is_set()

    async def wait(self) -> None:
        await self._ended.wait()

    def _tell(self) -> None:
        self._ended.set()
        self.close()

    def close(self) -> None:
        """Safe to repeat."""
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1

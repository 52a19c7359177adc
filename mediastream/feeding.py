"""What a child is fed with: its input by a pipe of ours, into which nobody waits to write."""

import asyncio
import os


class Feed:
    """`child_end` goes to the child, and is closed here then. Lives on the home loop; is to be closed."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.child_end, self._fd = os.pipe()
        os.set_blocking(self._fd, False)
        self._left = memoryview(b"")  # of the last offer, for which there was no room yet

    def handed_over(self) -> None:
        """The child has its end: ours of it would keep a pipe open that nobody reads."""
        os.close(self.child_end)
        self.child_end = -1

    def offer(self, data: bytes) -> bool:
        """Write all of it, now and as there is room, if nothing of before is left; else do nothing and say False.

        So what the child has not read yet is one offer at most, and what the pipe holds.
        """
        if self._fd < 0 or self._left:
            return False
        self._left = memoryview(data)
        self._write()
        if self._left:
            self._loop.add_writer(self._fd, self._go_on)
        return self._fd >= 0

    def _go_on(self) -> None:
        self._write()
        if self._fd >= 0 and not self._left:
            self._loop.remove_writer(self._fd)

    def _write(self) -> None:
        try:
            self._left = self._left[os.write(self._fd, self._left) :]
        except BlockingIOError:
            pass
        except BrokenPipeError:
            self.close()

    def close(self) -> None:
        """The child sees its end; what is left is not written. Safe to repeat."""
        if self.child_end >= 0:
            self.handed_over()
        fd, self._fd = self._fd, -1
        if fd >= 0:
            if self._left and not self._loop.is_closed():
                self._loop.remove_writer(fd)
            self._left = memoryview(b"")
            os.close(fd)

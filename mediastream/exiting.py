"""That a child has ended, told by the kernel: pidfd_open(2), of Linux 5.3.

Not by SIGCHLD, which reaches the main thread alone and is one for all children. Nobody's number is given away by it:
the child stays a zombie, and its number its own, until it is reaped.
"""

import asyncio
import ctypes
import os
import signal
import threading

PIDFD_OPEN = 434  # its number on every architecture but Alpha. os.pidfd_open is not in all builds of Python
UNKNOWN = 255  # the code of a child that somebody else has reaped, as in asyncio: it must not pass for a success
_syscall = ctypes.CDLL(None, use_errno=True).syscall
_syscall.argtypes = ctypes.c_long, ctypes.c_long, ctypes.c_long


def pidfd_open(pid: int) -> int:
    """Raises OSError."""
    descriptor: int = _syscall(PIDFD_OPEN, pid, 0)
    if descriptor < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return descriptor


def keep_zombies() -> None:
    """Whoever has started this process may have had it ignore SIGCHLD: then the kernel reaps children by itself, and
    none says how it ended (wait(2)). To be called early, in the main thread."""
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)


class Exit:
    """When a child has ended, and how. Nobody else may reap it. Is to be closed."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        self._fd = -1
        try:
            self._fd = pidfd_open(pid)
        except ProcessLookupError:  # it is gone already, where the kernel keeps no zombies
            self._ended.set()
            return
        try:
            self._loop.add_reader(self._fd, self._tell)
        except BaseException:
            os.close(self._fd)
            raise

    def __bool__(self) -> bool:
        """Whether it has."""
        return self._ended.is_set()

    async def reap(self) -> int:
        """Wait for it, and return its code."""
        await self._ended.wait()
        return _reaped(self._pid)

    def _tell(self) -> None:
        self._ended.set()
        self.close()

    def close(self) -> None:
        """Safe to repeat."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            if not self._loop.is_closed():
                self._loop.remove_reader(fd)
            os.close(fd)


def _reaped(pid: int) -> int:
    """The code of a child that has ended."""
    try:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    except ChildProcessError:
        return UNKNOWN

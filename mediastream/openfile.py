"""Open files, and how to come by one without making the loop wait for a disk.

Looking up a path may have to read directories. openat2(2) with RESOLVE_CACHED opens only what the kernel can
find without that, and says so otherwise; then, and on kernels before 5.12, a thread does it. The thread costs
several times what all the rest of a small range does.
"""

import asyncio
import ctypes
import errno
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

OPENAT2 = 437  # its number on every architecture, openat2(2)
AT_FDCWD = -100
RESOLVE_CACHED = 0x20
FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK

# Disks can be slow and the loop must not wait for them. More threads than this do not make one faster.
_disk = ThreadPoolExecutor(max_workers=8, thread_name_prefix="disk")
_syscall = ctypes.CDLL(None, use_errno=True).syscall


class OpenHow(ctypes.Structure):
    """struct open_how of openat2(2)."""

    _fields_ = [("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64)]


_how = OpenHow(FLAGS, 0, RESOLVE_CACHED)
_how_at = ctypes.cast(ctypes.byref(_how), ctypes.c_void_p)
_syscall.argtypes = ctypes.c_long, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t


@dataclass
class OpenFile:
    """An open regular file; size in bytes and time of change in Unix seconds as of opening.

    `owners` share it; each closes it once, and the last closes the descriptor.
    """

    fd: int
    size: int
    modified: int
    owners: int = 1

    @classmethod
    async def open(cls, path: Path) -> Self:
        """Raises FileNotFoundError and other OSErrors of open(2), IsADirectoryError for what is not a file.

        Shielded: a thread that opens cannot be cancelled, and what it has opened needs an owner.
        """
        fd = _open_cached(path)
        if fd is not None:
            return cls.of(fd)
        opening = asyncio.get_running_loop().run_in_executor(_disk, cls.open_now, path)
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_close_unwanted)
            raise

    @classmethod
    def open_now(cls, path: Path) -> Self:
        return cls.of(os.open(path, FLAGS))

    @classmethod
    def of(cls, fd: int) -> Self:
        """Takes over the descriptor."""
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                raise IsADirectoryError(errno.EISDIR, "not a regular file")
        except OSError:
            os.close(fd)
            raise
        return cls(fd, status.st_size, int(status.st_mtime))

    def read_cached(self, offset: int, size: int) -> bytes | None:
        """Up to `size` bytes at `offset` if the page cache has any of them; None if the disk would be asked.

        preadv2(2) with RWF_NOWAIT says which, so that only a cold file costs a thread. Some file systems
        do not know the flag (EOPNOTSUPP); those are always read in a thread.
        """
        buffer = bytearray(size)
        try:
            count = os.preadv(self.fd, [buffer], offset, os.RWF_NOWAIT)
        except OSError as fault:
            if fault.errno not in (errno.EAGAIN, errno.EOPNOTSUPP, errno.EINVAL):
                raise
            return None
        return bytes(memoryview(buffer)[:count]) if count else None

    def read(self, offset: int, size: int) -> "asyncio.Future[bytes]":
        """Up to `size` bytes at `offset`, read in a thread."""
        return asyncio.get_running_loop().run_in_executor(_disk, os.pread, self.fd, size, offset)

    def share(self) -> Self:
        """The same, with one more owner."""
        self.owners += 1
        return self

    def close(self) -> None:
        self.owners -= 1
        if self.owners == 0:
            os.close(self.fd)
            self.fd = -1


def _open_cached(path: Path) -> int | None:
    """A descriptor, if the kernel has all that the path names in memory."""
    name = os.fsencode(path)
    if b"\0" in name:  # C would take it for the name up to there; open(2)'s wrapper says what is wrong
        return None
    fd = _syscall(OPENAT2, AT_FDCWD, name, _how_at, ctypes.sizeof(_how))
    return fd if fd >= 0 else None


def _close_unwanted(opening: "asyncio.Future[Any]") -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()

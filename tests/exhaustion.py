"""A process that has run out of descriptors, on purpose."""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def descriptors_left(count: int) -> Iterator[None]:
    """Inside, this process can open `count` descriptors and no more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(name) for name in os.listdir("/proc/self/fd"))
    filling: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 64, hard))
    try:
        while True:
            try:
                filling.append(os.open(os.devnull, os.O_RDONLY))
            except OSError:
                break
        for _ in range(count):
            os.close(filling.pop())
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for descriptor in filling:
            os.close(descriptor)


def open_descriptors() -> int:
    """But for the database's, which each thread that has asked it keeps open for a while."""
    count = 0
    for name in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):
            count += ".sqlite3" not in os.readlink(f"/proc/self/fd/{name}")
    return count

"""Processes that a library forks by itself, where process.py has no say."""

import ctypes
import os
import signal

PR_SET_PDEATHSIG = 1  # prctl(2)


def die_with_us() -> None:
    """Have the kernel kill each process that is forked from this one, and theirs, when its parent dies.

    A kill -9 of one process then ends all below it (prctl(2), PR_SET_PDEATHSIG).
    """
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def in_child() -> None:
        nonlocal parent
        prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))
        if os.getppid() != parent:  # it died before the line above
            os._exit(1)
        parent = os.getpid()

    os.register_at_fork(after_in_child=in_child)

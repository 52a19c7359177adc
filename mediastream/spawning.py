"""How a child begins: behind its limits, with what it finds at its ends. The only file that makes children.

- Children must not outlive us, not even by kill -9, which runs no handler: `setpriv --pdeathsig KILL`
  has the kernel end them. The signal is tied to the forking thread, hence the home loop (homeloop.py).
- preexec_fn is unsafe beside threads (Python's subprocess documentation), so limits are set by programs that exec the
  next one (limits.py): the pid stays the child's own.
- subprocess uses vfork(2), which copies no page tables. uvloop's own way is fork(2): of a server of 100 MB it takes two
  milliseconds and more, in which the loop does nothing else, and leaves five descriptors open when there are too few.
"""

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from mediastream.exiting import Exit
from mediastream.feeding import Feed
from mediastream.limits import Limits, child_environment, guarded
from mediastream.pipe import Pipe

PIPE, DEVNULL = subprocess.PIPE, subprocess.DEVNULL


@dataclass(frozen=True)
class Started:
    """A child, and our ends of what it has."""

    pid: int
    exit: Exit
    stderr: Pipe
    stdout: Pipe | None
    stdin: Feed | None


def start(
    argv: Sequence[str],
    limits: Limits,
    stdout: int,
    stdin: bytes | None,
    *,
    fed: bool,
    wide: bool,
    environment: Mapping[str, str] | None,
) -> Started:
    """The child, for whom `process.Child.spawn` says what is what. Returns when it has become `setpriv`.

    On the home loop alone, which the pipes ask for before there is a child.
    """
    # setpriv would start and then say 127, which looks like the program's own failure.
    if shutil.which(argv[0]) is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), argv[0])
    with _ends() as ends, _input(stdin) as source:
        ends.append(stderr := Pipe())
        if stdout == PIPE:
            ends.append(output := Pipe(wide=wide))
        if fed:
            ends.append(feed := Feed())
        process = subprocess.Popen(
            guarded(argv, limits),
            stdin=feed.child_end if fed else source,
            stdout=output.child_end if stdout == PIPE else stdout,
            stderr=stderr.child_end,
            env=child_environment() if environment is None else dict(environment),
            start_new_session=True,
        )
        return Started(process.pid, _exit(process), stderr, output if stdout == PIPE else None, feed if fed else None)


def detach(argv: Sequence[str]) -> None:
    """Start `argv` to live on after this command has ended, with no terminal: for `--no-wait`."""
    subprocess.Popen(
        list(argv), stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL, start_new_session=True, close_fds=True
    ).returncode = 0  # not ours to wait for: init adopts it when this command ends


def _exit(process: "subprocess.Popen[bytes]") -> Exit:
    try:
        told = Exit(process.pid)
    except BaseException:
        process.kill()
        process.wait()
        raise
    process.returncode = 0  # for Popen it is over: it would reap by itself what is forgotten
    return told


@contextmanager
def _ends() -> Iterator[list[Pipe | Feed]]:
    """Of pipes, to be handed over to a child; all closed if none was started."""
    ends: list[Pipe | Feed] = []
    try:
        yield ends
    except BaseException:
        for end in ends:
            end.close()
        raise
    for end in ends:
        end.handed_over()


@contextmanager
def _input(content: bytes | None) -> Iterator[int]:
    """A descriptor to read `content` from: in memory, so that nobody has to feed a pipe while the child reads."""
    if content is None:
        yield DEVNULL
        return
    descriptor = os.memfd_create("stdin")
    try:
        os.write(descriptor, content)
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)

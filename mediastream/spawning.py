"""How a child begins: behind its limits, with what it finds at its ends. The only file that makes children.

- Children must not outlive us, not even by kill -9, which runs no handler: `setpriv --pdeathsig KILL`
  has the kernel end them. The signal is tied to the forking thread, hence the home loop (homeloop.py).
- preexec_fn is unsafe beside threads (Python's subprocess documentation), so limits are set by programs that exec the
  next one (limits.py): the pid stays the child's own.
"""

import asyncio
import errno
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from mediastream.limits import Limits, child_environment, guarded
from mediastream.pipe import Pipe

PIPE = asyncio.subprocess.PIPE
DEVNULL = asyncio.subprocess.DEVNULL
DESCRIPTORS = 12  # to start a child takes nine, most of them for a moment


async def start(
    argv: Sequence[str],
    limits: Limits,
    stdout: int,
    stdin: bytes | None,
    *,
    fed: bool,
    wide: bool,
    environment: Mapping[str, str] | None,
) -> tuple[asyncio.subprocess.Process, Pipe | None]:
    """The child, for whom `process.Child.spawn` says what is what; with the pipe of its stdout if that is wide."""
    # setpriv would start and then say 127, which looks like the program's own failure.
    if shutil.which(argv[0]) is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), argv[0])
    _check_descriptors()
    with _input(stdin) as source, _output(wide) as pipe:
        process = await asyncio.create_subprocess_exec(
            *guarded(argv, limits),
            stdin=PIPE if fed else source,
            stdout=stdout if pipe is None else pipe.child_end,
            stderr=PIPE,
            env=child_environment() if environment is None else dict(environment),
            start_new_session=True,
        )
    return process, pipe


def detach(argv: Sequence[str]) -> None:
    """Start `argv` to live on after this command has ended, with no terminal: for `--no-wait`."""
    subprocess.Popen(
        list(argv), stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL, start_new_session=True, close_fds=True
    ).returncode = 0  # not ours to wait for: init adopts it when this command ends


def _check_descriptors() -> None:
    """Raises OSError (EMFILE, ENFILE) unless there are enough: uvloop, when it cannot open the next, loses for good
    those it has opened for the child, and may say errno -1."""
    opened: list[int] = []
    try:
        while len(opened) < DESCRIPTORS:
            opened.append(os.open(os.devnull, os.O_RDONLY))
    finally:
        for descriptor in opened:
            os.close(descriptor)


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


@contextmanager
def _output(wide: bool) -> Iterator[Pipe | None]:
    """A pipe if one is wanted, whose other end the child has after this; closed if none was started."""
    if not wide:
        yield None
        return
    pipe = Pipe()
    try:
        yield pipe
        pipe.handed_over()
    except BaseException:
        pipe.close()
        raise

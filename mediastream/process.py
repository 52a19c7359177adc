"""One child process while it lives: own group, drained stderr, bounded stop, reaped.

A full stderr pipe stops a child for good, so stderr is always read, and only its tail kept (tail.py). How it begins,
and what ends it when we are killed: spawning.py.

After kvmd's aioproc: TERM, a grace, KILL, reap; and whoever stops a child may be cancelled meanwhile.
"""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

from mediastream import spawning
from mediastream.limits import UNLIMITED, Limits
from mediastream.pipe import Pipe
from mediastream.spawning import PIPE
from mediastream.tail import Tail

# A child's reaper must survive the cancellation of whoever waits for it; asyncio keeps only weak references.
_reapers: dict[asyncio.Task[int], str] = {}


def running() -> Counter[str]:
    """How many children there are that are not reaped yet, by the name of their program."""
    return Counter(_reapers.values())


@dataclass(frozen=True)
class Finished:
    """How a child ended: `returncode` is negative for a signal."""

    returncode: int
    stdout: bytes
    stderr: str


class ChildTimeout(Exception):
    """The child did not finish before its deadline, and was ended."""


class Child:
    """A running child. Make it with `spawn`, on the home loop; end it with `stop`, which is safe to repeat."""

    def __init__(self, process: asyncio.subprocess.Process, name: str, pipe: Pipe | None = None) -> None:
        self._process = process
        self._pipe = pipe
        self.name = name
        self._tail = Tail()
        self._reaper = asyncio.create_task(self._reap(), name=f"reap {name}")
        _reapers[self._reaper] = name
        self._reaper.add_done_callback(_reapers.pop)

    @classmethod
    async def spawn(
        cls,
        argv: Sequence[str],
        limits: Limits = UNLIMITED,
        stdout: int = PIPE,
        stdin: bytes | None = None,
        *,
        fed: bool = False,
        wide: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> Self:
        """Start `argv`. Raises FileNotFoundError if there is no such program, OSError if none can be started.

        `stdin`: what it finds there; unlike its arguments, no other user of the machine sees it. `fed`: it finds
        there what is offered to it. `wide`: its stdout by a Pipe, for much in little time. `environment`: None is ours
        without secrets; a program of ours needs its own.
        Shielded: a cancellation between fork and return would leave a child that nobody owns.
        """

        async def begin() -> Self:
            process, pipe = await spawning.start(
                argv, limits, stdout, stdin, fed=fed, wide=wide, environment=environment
            )
            return cls(process, os.path.basename(argv[0]), pipe)

        starting: asyncio.Future[Self] = asyncio.ensure_future(begin())
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            starting.add_done_callback(_end_unwanted)
            raise

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.returncode is None

    @property
    def stderr(self) -> str:
        """The last lines the child said, at most tail.LINES."""
        return str(self._tail)

    async def read(self, size: int) -> bytes:
        """Up to `size` bytes of stdout as soon as there are any; b"" at its end."""
        if self._pipe is not None:
            return await self._pipe.read(size)
        assert self._process.stdout is not None, "spawned without a stdout pipe"
        return await self._process.stdout.read(size)

    @property
    def pipe(self) -> Pipe | None:
        """Its stdout, if it was spawned with a wide one."""
        return self._pipe

    def offer(self, data: bytes) -> bool:
        """Write all of it to stdin if nothing of before is left to be written; else do nothing and say False.

        So what the child has not read yet is one offer at most, and what the pipe holds. Nothing is waited for.
        """
        stdin = self._process.stdin
        assert stdin is not None, "spawned without a stdin pipe"
        if stdin.transport.is_closing() or stdin.transport.get_write_buffer_size():
            return False
        stdin.write(data)
        return True

    async def wait(self) -> int:
        """Wait for the child's own end and return its code. Cancelling this does not end the child."""
        return await asyncio.shield(self._reaper)

    def signal(self, number: signal.Signals) -> None:
        """Send to the whole group; nothing happens once the child is reaped.

        Not `self.running`: a grandchild that holds stderr open keeps the group, and us, waiting after it.
        """
        if not self._reaper.done():
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)

    def kill(self) -> None:
        """End the child now; `stop` or `wait` reaps it. What it had said on stdout is lost."""
        self.signal(signal.SIGKILL)
        self._close_pipes()

    async def stop(self, grace: float = 0.0) -> int:
        """End the child and reap it: TERM and up to `grace` seconds first if there are any, then KILL.

        Even a cancelled stop ends it: the KILL is sent before the first await, or when the grace is cut short.
        """
        try:
            if grace > 0 and self.running:
                self.signal(signal.SIGTERM)
                with suppress(TimeoutError):
                    return await asyncio.wait_for(asyncio.shield(self._reaper), grace)
        finally:
            self.kill()
        return await self.wait()

    def _close_pipes(self) -> None:
        """Close our ends now: a full pipe nobody reads would keep asyncio from reporting the end."""
        if self._pipe is not None:
            self._pipe.close()
        stdin, stdout = map(self._process._transport.get_pipe_transport, (0, 1))  # type: ignore[attr-defined]
        if stdout is not None:
            stdout.close()
        if stdin is not None and not stdin.is_closing():
            stdin.abort()  # close() would first write what is left, to a reader that is gone

    async def _reap(self) -> int:
        stderr = self._process.stderr
        assert stderr is not None
        while chunk := await stderr.read(4096):
            self._tail.feed(chunk)
        self._tail.end()
        return await self._process.wait()


def _end_unwanted(starting: "asyncio.Future[Any]") -> None:
    if not starting.cancelled() and starting.exception() is None:
        starting.result().kill()


async def run(
    argv: Sequence[str],
    timeout: float,
    limits: Limits = UNLIMITED,
    max_stdout: int = 1024 * 1024,
) -> Finished:
    """Run `argv` to its end. `timeout`: seconds; `max_stdout`: bytes kept, a child that says more is ended.

    Raises ChildTimeout after the deadline, OSError if the program cannot be started.
    """
    child = await Child.spawn(argv, limits)
    said = bytearray()
    try:
        async with asyncio.timeout(timeout):
            while len(said) <= max_stdout and (chunk := await child.read(65536)):
                said += chunk
            returncode = await child.wait() if len(said) <= max_stdout else await child.stop()
    except TimeoutError:
        raise ChildTimeout(f"{child.name} did not finish within {timeout:g} seconds") from None
    finally:
        await child.stop()
    return Finished(returncode, bytes(said[:max_stdout]), child.stderr)

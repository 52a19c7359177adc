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
from typing import Self

from mediastream import spawning
from mediastream.limits import UNLIMITED, Limits
from mediastream.pipe import Pipe
from mediastream.spawning import PIPE, Started
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

    def __init__(self, started: Started, name: str) -> None:
        self._started = started
        self.name = name
        self._tail = Tail()
        self._reaper = asyncio.create_task(self._reap(), name=f"reap {name}")
        _reapers[self._reaper] = name
        self._reaper.add_done_callback(_reapers.pop)

    @classmethod
    def spawn(
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
        there what is offered to it. `wide`: a stdout for much in little time. `environment`: None is ours without
        secrets; a program of ours needs its own.
        Nothing is awaited: a cancellation between the start and the return would leave a child that nobody owns.
        """
        started = spawning.start(argv, limits, stdout, stdin, fed=fed, wide=wide, environment=environment)
        return cls(started, os.path.basename(argv[0]))

    @property
    def pid(self) -> int:
        return self._started.pid

    @property
    def running(self) -> bool:
        return not self._started.exit

    @property
    def stderr(self) -> str:
        """The last lines the child said, at most tail.LINES."""
        return str(self._tail)

    async def read(self, size: int) -> bytes:
        """Up to `size` bytes of stdout as soon as there are any; b"" at its end."""
        return await self.stdout.read(size)

    @property
    def stdout(self) -> Pipe:
        assert self._started.stdout is not None, "spawned without a stdout pipe"
        return self._started.stdout

    def offer(self, data: bytes) -> bool:
        """Feed it; False if it takes nothing now, or has ended (feeding.py). Nothing is waited for."""
        assert self._started.stdin is not None, "spawned without a stdin pipe"
        return self._started.stdin.offer(data)

    async def wait(self) -> int:
        """Wait for the child's own end and return its code. Cancelling this does not end the child."""
        return await asyncio.shield(self._reaper)

    def signal(self, number: signal.Signals) -> None:
        """Send to the whole group; nothing happens once the child is reaped.

        Not `self.running`: a grandchild that holds stderr open keeps the group, and us, waiting after it.
        """
        if not self._reaper.done():
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

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
        for end in (self._started.stdin, self._started.stdout):
            if end is not None:
                end.close()

    async def _reap(self) -> int:
        """Its number stays its own, and so its group's, while a grandchild holds stderr open: it is a zombie then."""
        try:
            while chunk := await self._started.stderr.read(4096):
                self._tail.feed(chunk)
            self._tail.end()
            return await self._started.exit.reap()
        except BaseException:  # of whoever cancels all tasks of a loop: nobody would end it after this
            self.kill()
            raise
        finally:
            if self._started.stdin is not None:
                self._started.stdin.close()
            self._started.stderr.close()
            self._started.exit.close()


async def run(
    argv: Sequence[str],
    timeout: float,
    limits: Limits = UNLIMITED,
    max_stdout: int = 1024 * 1024,
) -> Finished:
    """Run `argv` to its end. `timeout`: seconds; `max_stdout`: bytes kept, a child that says more is ended.

    Raises ChildTimeout after the deadline, OSError if the program cannot be started.
    """
    child = Child.spawn(argv, limits)
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

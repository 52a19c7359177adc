"""What a child is fed with, how its end is told, and that nothing of it is left, on both event loops."""

import asyncio
import errno
import fcntl
import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import uvloop

from mediastream import exiting, process
from mediastream.exiting import UNKNOWN
from mediastream.pipe import WIDE, Pipe
from mediastream.process import Child
from tests.core.test_process import DEADLINE, alive, finished, line, python
from tests.exhaustion import descriptors_left, open_descriptors

Run = Callable[[Callable[[], Coroutine[Any, Any, None]]], None]


@pytest.fixture(params=[asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    return lambda main: request.param(main())


def test_a_child_is_fed(run: Run) -> None:
    async def main() -> None:
        child = Child.spawn(
            python("import sys\nfor line in sys.stdin: print('got', line, end='', flush=True)"), fed=True
        )
        for word in (b"one", b"two"):
            assert child.offer(word + b"\n")
            assert await line(child) == b"got " + word + b"\n"
        await child.stop()
        assert not child.offer(b"three")

    run(main)


def test_an_offer_arrives_whole_and_then_costs_nothing(run: Run) -> None:
    """What does not fit into the pipe at once follows as it is read."""
    offer = os.urandom(3_000_000)
    digest = (
        "import hashlib, sys, time\ntime.sleep(0.1)\n"
        f"print(hashlib.sha256(sys.stdin.buffer.read({len(offer)})).hexdigest(), flush=True)\ntime.sleep(60)"
    )

    async def main() -> None:
        child = Child.spawn(python(digest), fed=True)
        assert child.offer(offer)
        assert not child.offer(b"not now")
        assert await line(child) == hashlib.sha256(offer).hexdigest().encode() + b"\n"
        used = time.process_time()
        await asyncio.sleep(1)
        assert time.process_time() - used < 0.5  # a writer that is still watched would have all of it
        assert child.offer(b"again")
        await child.stop()

    run(main)


def test_a_child_that_does_not_read_is_not_waited_for(run: Run) -> None:
    """What does not fit into the pipe waits here, and no more than one offer does."""

    async def main() -> None:
        child = Child.spawn(python("import time; time.sleep(60)"), fed=True)
        offers = [child.offer(bytes(1024 * 1024)) for _ in range(5)]
        assert offers == [True, False, False, False, False]
        await child.stop()
        assert not alive(child.pid)

    run(main)


def test_a_child_that_leaves_in_the_middle_takes_nothing_and_harms_nobody(run: Run) -> None:
    code = "import os, time; os.read(0, 1000); os.close(0); print('closed', flush=True); time.sleep(60)"

    async def main() -> None:
        child = Child.spawn(python(code), fed=True)
        assert child.offer(bytes(3_000_000))
        assert await line(child) == b"closed\n"
        used = time.process_time()
        await asyncio.sleep(1)
        assert time.process_time() - used < 0.5
        assert not child.offer(b"late")
        await child.stop()
        ended = Child.spawn(python("pass"), fed=True)
        assert await finished(ended) == 0
        assert not ended.offer(b"late")
        await ended.stop()

    run(main)


def test_a_child_that_talks_without_end_leaves_turns_to_others(run: Run) -> None:
    """By its stderr, which nobody asked for; and by its stdout, to one that reads it as fast as it can."""

    async def turns() -> None:
        async with asyncio.timeout(DEADLINE):
            for _ in range(200):
                await asyncio.sleep(0.001)

    async def read(child: Child) -> None:
        while await child.read(1000):
            pass

    async def main() -> None:
        child = Child.spawn(["sh", "-c", "yes >&2"])
        await turns()
        await child.stop()
        child = Child.spawn(["cat", "/dev/zero"])
        reading = asyncio.create_task(read(child))
        await turns()
        await child.stop()
        await reading

    run(main)


def test_a_natural_end_leaves_nothing(run: Run) -> None:
    """Without `stop`: whoever has read all and waited is done."""

    async def main() -> None:
        before = open_descriptors()
        for _ in range(3):
            child = Child.spawn(python("print('all')"), fed=True)
            assert await line(child) == b"all\n"
            assert await child.read(10) == b""
            assert await finished(child) == 0
            assert not child.running
            assert not Path(f"/proc/{child.pid}").exists()
            assert open_descriptors() == before

    run(main)


def test_a_reaper_that_is_cancelled_ends_the_child(run: Run) -> None:
    """As by a server that cancels all tasks of its loop."""

    async def main() -> None:
        before = open_descriptors()
        child = Child.spawn(["sleep", "60"])
        await asyncio.sleep(0)
        child._reaper.cancel()
        with pytest.raises(asyncio.CancelledError):
            await child.wait()
        async with asyncio.timeout(DEADLINE):
            while alive(child.pid):
                await asyncio.sleep(0.01)
        assert open_descriptors() == before
        assert exiting._reaped(child.pid) == -signal.SIGKILL

    run(main)


def test_a_child_without_a_loop_is_not_started() -> None:
    before = open_descriptors()
    with pytest.raises(RuntimeError, match="no running event loop"):
        Child.spawn(["sleep", "60"], fed=True)
    assert open_descriptors() == before
    assert not [entry for entry in Path("/proc").iterdir() if _is_ours(entry)]


def _is_ours(entry: Path) -> bool:
    try:
        parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        return parent == os.getpid() and b"sleep\x0060" in (entry / "cmdline").read_bytes()
    except (OSError, IndexError):
        return False


@pytest.mark.parametrize(("early", "code"), [("", UNKNOWN), ("exiting.keep_zombies()", 7)])
def test_where_sigchld_is_ignored_a_failure_is_no_success(early: str, code: int) -> None:
    """As whoever starts the server may have it: the kernel then reaps children by itself."""
    script = (
        f"import asyncio\nfrom mediastream import exiting, process\n{early}\n"
        "async def main(): print((await process.run(['sh', '-c', 'exit 7'], 20)).returncode)\n"
        "asyncio.run(main())"
    )
    command = ["env", "--ignore-signal=CHLD", sys.executable, "-c", script]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == f"{code}\n"


async def test_a_wide_pipe_is_wide() -> None:
    for wide in (True, False):
        pipe = Pipe(wide=wide)
        size = fcntl.fcntl(pipe.fd, fcntl.F_GETPIPE_SZ)
        assert (size == WIDE) is wide
        assert pipe.enough == size // 2
        pipe.close()
    child = Child.spawn(["true"], wide=True)
    assert fcntl.fcntl(child.stdout.fd, fcntl.F_GETPIPE_SZ) == WIDE
    await child.stop()


async def test_two_do_not_read_one_pipe() -> None:
    child = Child.spawn(["sleep", "60"])
    first = asyncio.create_task(child.read(10))
    await asyncio.sleep(0.05)
    with pytest.raises(AssertionError, match="somebody waits"):
        await child.read(10)
    await child.stop()
    assert await first == b""


@pytest.mark.parametrize("runner", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_a_child_for_which_no_descriptors_are_left_costs_none(runner: Any) -> None:
    """Whichever of those it needs is the one too many."""

    async def attempt() -> None:
        child = process.Child.spawn(["sleep", "0"], fed=True)
        await child.wait()
        await child.stop()

    async def attempts() -> None:
        await attempt()
        before = open_descriptors()
        for left in range(8):
            with descriptors_left(left), pytest.raises(OSError, match="Too many open files") as raised:
                await attempt()
            assert raised.value.errno == errno.EMFILE
            assert open_descriptors() == before
        with descriptors_left(8):
            await attempt()
        assert open_descriptors() == before

    runner(attempts())


@pytest.mark.parametrize("runner", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_a_child_whose_end_could_not_be_told_is_none(runner: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[int] = []

    def fail(pid: int) -> int:
        started.append(pid)
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    async def main() -> None:
        before = open_descriptors()
        with pytest.raises(OSError, match="not implemented"):
            process.Child.spawn(["sleep", "60"], fed=True)
        assert open_descriptors() == before
        assert not Path(f"/proc/{started[0]}").exists()

    monkeypatch.setattr(exiting, "pidfd_open", fail)
    runner(main())


async def test_a_pipe_that_nobody_closes_is_told_of() -> None:
    pipe = Pipe()
    descriptors = pipe.fd, pipe.child_end
    pipe.handed_over()
    with pytest.warns(ResourceWarning, match="a pipe was not closed"):
        del pipe
    for descriptor in descriptors:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)

"""Children as they really are: started, limited, stopped, and gone, also when everything else fails."""

import asyncio
import contextlib
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

from mediastream import process, spawning
from mediastream.limits import Limits
from mediastream.process import Child, ChildTimeout
from mediastream.tail import LINE_BYTES, LINES

DEADLINE = 20.0  # seconds; generous, as the machine may be busy
IGNORES_TERM = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
)

Work = Callable[[], Coroutine[Any, Any, None]]


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def alive(pid: int) -> bool:
    """Whether the process runs; a zombie that only its parent keeps does not."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] not in "ZX"


def gone(pid: int, within: float = DEADLINE) -> bool:
    end = time.monotonic() + within
    while alive(pid):
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


async def line(child: Child) -> bytes:
    """One line of its stdout, which may come in pieces."""
    said = b""
    async with asyncio.timeout(DEADLINE):
        while not said.endswith(b"\n") and (piece := await child.read(100)):
            said += piece
    return said


async def finished(child: Child) -> int:
    async with asyncio.timeout(DEADLINE):
        return await child.wait()


async def test_output_exit_code_and_last_words() -> None:
    ended = await process.run(python("import sys; print('out'); print('err', file=sys.stderr); sys.exit(7)"), DEADLINE)
    assert (ended.returncode, ended.stdout, ended.stderr) == (7, b"out\n", "err")


async def test_a_signal_is_a_negative_code() -> None:
    ended = await process.run(python("import os; os.kill(os.getpid(), 9)"), DEADLINE)
    assert ended.returncode == -signal.SIGKILL


async def test_a_missing_program_is_an_error_and_not_an_exit_code() -> None:
    """setpriv would say 127, which nobody could tell from the program's own failure."""
    with pytest.raises(FileNotFoundError, match="No such file") as caught:
        Child.spawn(["/no/such/program"])
    assert caught.value.filename == "/no/such/program"
    with pytest.raises(FileNotFoundError):
        await process.run(["no-such-program-anywhere"], DEADLINE)


async def test_arguments_reach_the_program_as_they_are() -> None:
    words = ["$(id)", "; id", "'\"", "a\nb", "--pdeathsig", "-", "", "🎬"]
    ended = await process.run([*python("import sys; print(ascii(sys.argv[1:]))"), *words], DEADLINE)
    assert ended.stdout.decode().strip() == ascii(words)


async def test_what_a_child_is_given_to_read_is_no_argument() -> None:
    """Any user of the machine reads the arguments of all processes; what lies in a password must not be there."""
    copy = "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read())"
    given = b"hush\n" * 100_000
    child = Child.spawn(python(copy), stdin=given)
    said = b""
    async with asyncio.timeout(DEADLINE):
        while piece := await child.read(65536):
            said += piece
    assert said == given
    assert await finished(child) == 0
    child = Child.spawn(python("import sys, time; print(sys.stdin.read(), flush=True); time.sleep(60)"), stdin=b"hush")
    assert await line(child) == b"hush\n"
    assert b"hush" not in Path(f"/proc/{child.pid}/cmdline").read_bytes()
    await child.stop()


async def test_a_child_that_is_given_nothing_reads_nothing() -> None:
    ended = await process.run(python("import sys; print(repr(sys.stdin.read()))"), DEADLINE)
    assert ended.stdout == b"''\n"


async def test_stderr_is_drained_and_only_its_tail_kept() -> None:
    """A full stderr pipe would stop the child for good; ten megabytes must not fill us either."""
    code = "import sys\nfor n in range(100_000): print(f'line {n:06} ' + 'x' * 90, file=sys.stderr)"
    ended = await process.run(python(code), DEADLINE)
    assert ended.returncode == 0
    lines = ended.stderr.splitlines()
    assert [line[:11] for line in lines] == [f"line {n:06}" for n in range(100_000 - LINES, 100_000)]
    assert {len(line) for line in lines} == {102}


async def test_a_line_without_an_end_is_bounded_and_not_cut_into_lines() -> None:
    """Half an address would no longer be recognised as one, and show the password it holds."""
    code = "import sys; sys.stderr.write('a' * 1_000_000 + '\\n\\nlast\\rwords')"
    ended = await process.run(python(code), DEADLINE)
    assert ended.stderr.splitlines() == ["a" * LINE_BYTES, "last", "words"]


async def test_stop_kills_a_child_that_ignores_term() -> None:
    child = Child.spawn(python(IGNORES_TERM))
    assert await line(child) == b"up\n"
    async with asyncio.timeout(DEADLINE):
        assert await child.stop(grace=0.2) == -signal.SIGKILL
        assert await child.stop() == -signal.SIGKILL  # safe to repeat
    assert not alive(child.pid)
    assert not child.running


async def test_the_grace_lets_a_term_handler_finish() -> None:
    code = (
        "import signal, sys, time\n"
        "def end(*_): print('goodbye', file=sys.stderr); sys.exit(5)\n"
        "signal.signal(signal.SIGTERM, end); print('up', flush=True); time.sleep(60)"
    )
    child = Child.spawn(python(code))
    assert await line(child) == b"up\n"
    async with asyncio.timeout(DEADLINE):
        assert await child.stop(grace=DEADLINE) == 5
    assert child.stderr == "goodbye"


async def test_a_child_that_nobody_reads_can_be_stopped() -> None:
    """Its stdout pipe is full and stays so, which must not keep its end from being seen."""
    child = Child.spawn(python("import sys\nwhile True: sys.stdout.buffer.write(b'x' * 65536)"))
    await child.read(1)
    await asyncio.sleep(0.2)
    child.kill()
    assert await finished(child) == -signal.SIGKILL


FORKS = "import subprocess, time; print(subprocess.Popen(['sleep', '60']).pid, flush=True); "


async def test_grandchildren_die_with_the_child() -> None:
    child = Child.spawn(python(FORKS + "time.sleep(60)"))
    grandchild = int(await line(child))
    assert alive(grandchild)
    async with asyncio.timeout(DEADLINE):
        await child.stop()
    assert gone(grandchild)


async def test_a_grandchild_that_outlives_the_child_cannot_hold_us() -> None:
    """It holds the pipes open, so without its end the reaper would wait for as long as it likes to sleep."""
    child = Child.spawn(python(FORKS))
    grandchild = int(await line(child))
    async with asyncio.timeout(DEADLINE):
        while child.running:
            await asyncio.sleep(0.01)
        await child.stop()
    assert gone(grandchild)


async def test_run_past_its_deadline_leaves_no_grandchild() -> None:
    with pytest.raises(ChildTimeout):
        await asyncio.wait_for(process.run(["sh", "-c", "sleep 61 & exit 0"], 0.5), DEADLINE)


@pytest.mark.parametrize("grace", [0.0, 60.0])
async def test_a_cancelled_stop_still_ends_the_child(grace: float) -> None:
    child = Child.spawn(python(IGNORES_TERM))
    assert await line(child) == b"up\n"
    stopping = asyncio.create_task(child.stop(grace))
    await asyncio.sleep(0.05)
    stopping.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await stopping
    assert await finished(child) == -signal.SIGKILL


async def test_cancelling_a_wait_does_not_end_the_child() -> None:
    child = Child.spawn(["sleep", "60"])
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(child.wait(), 0.05)
    assert child.running
    assert alive(child.pid)
    await child.stop()


async def test_run_ends_a_child_at_its_deadline() -> None:
    started = time.monotonic()
    with pytest.raises(ChildTimeout, match=r"python.* did not finish within 0.3 seconds"):
        await process.run(python(IGNORES_TERM), 0.3)
    assert time.monotonic() - started < DEADLINE


async def test_run_keeps_no_more_output_than_asked() -> None:
    code = "import sys\nwhile True: sys.stdout.buffer.write(b'x' * 65536)"
    ended = await process.run(python(code), DEADLINE, max_stdout=100_000)
    assert ended.stdout == b"x" * 100_000
    assert ended.returncode == -signal.SIGKILL


async def test_run_keeps_all_of_what_just_fits() -> None:
    ended = await process.run(python("import sys; sys.stdout.buffer.write(b'x' * 1000)"), DEADLINE, max_stdout=1000)
    assert (ended.returncode, ended.stdout) == (0, b"x" * 1000)


async def test_a_cancelled_run_ends_its_child(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    code = f"import os, time; open({str(note)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    running = asyncio.create_task(process.run(python(code), DEADLINE))
    async with asyncio.timeout(DEADLINE):
        while not (note.exists() and note.read_text()):
            await asyncio.sleep(0.01)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert gone(int(note.read_text()))


async def test_limits_apply_and_no_core_is_written() -> None:
    limits = Limits(address_space=2**30, cpu_seconds=17, file_size=12345)
    code = (
        "import resource as r\n"
        "print([r.getrlimit(getattr(r, 'RLIMIT_' + name))[1] for name in ('AS', 'CPU', 'FSIZE', 'CORE')])"
    )
    ended = await process.run(python(code), DEADLINE, limits)
    assert ended.stdout.decode().strip() == f"[{2**30}, 17, 12345, 0]"


async def test_a_child_over_its_memory_fails_alone() -> None:
    ended = await process.run(python("x = bytearray(1024 ** 3)"), DEADLINE, Limits(address_space=300 * 1024**2))
    assert ended.returncode == 1
    assert ended.stderr.endswith("MemoryError")


@pytest.mark.parametrize(
    "name",
    ["MEDIASTREAM_SECRET_KEY", "MEDIASTREAM_ADMIN_PASSWORD", "DATABASE_URL", "REDIS_URL", "AWS_SECRET_ACCESS_KEY"],
)
async def test_secrets_do_not_reach_the_child(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "hush")
    monkeypatch.setenv("HARMLESS", "kept")
    ended = await process.run(["env"], DEADLINE)
    assert b"hush" not in ended.stdout
    assert b"HARMLESS=kept" in ended.stdout


async def test_a_child_has_no_terminal_and_a_group_of_its_own() -> None:
    child = Child.spawn(
        python(
            "import sys; sys.stdin.read(); print('up', flush=True); sys.stdout.close(); __import__('time').sleep(60)"
        )
    )
    assert await line(child) == b"up\n"
    assert os.getpgid(child.pid) == child.pid == os.getsid(child.pid)
    assert child.pid != os.getpgrp()
    await child.stop()


@pytest.mark.parametrize("runner", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["kill", "term"])
def test_the_child_dies_with_a_parent_that_is_killed(runner: Any, number: int) -> None:
    """No handler of ours runs on kill -9; on either loop the kernel must do it."""
    module = runner.__module__.partition(".")[0]
    code = (
        f"import asyncio, {module}\n"
        "from mediastream.process import Child\n"
        "async def main():\n"
        "    child = Child.spawn(['sleep', '60'])\n"
        "    print(child.pid, flush=True)\n"
        "    await child.wait()\n"
        f"{module}.run(main())\n"
    )
    with subprocess.Popen(python(code), stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert Path(f"/proc/{child}/cmdline").exists()
        # setpriv has set the signal once it has become the program itself.
        end = time.monotonic() + DEADLINE
        while Path(f"/proc/{child}/comm").read_text().strip() != "sleep":
            assert time.monotonic() < end
            time.sleep(0.01)
        parent.send_signal(number)
        parent.wait(DEADLINE)
    assert gone(child, within=1.0)


def test_the_servers_own_loop_sees_the_same() -> None:
    """The server runs uvloop, which has another way to watch pipes than asyncio."""

    async def main() -> None:
        for work in (
            test_output_exit_code_and_last_words,
            test_stop_kills_a_child_that_ignores_term,
            test_a_child_that_nobody_reads_can_be_stopped,
            test_a_grandchild_that_outlives_the_child_cannot_hold_us,
            test_run_keeps_no_more_output_than_asked,
            test_run_ends_a_child_at_its_deadline,
            test_what_a_child_is_given_to_read_is_no_argument,
        ):
            await work()

    uvloop.run(main())


async def test_detached_work_outlives_its_starter(tmp_path: Path) -> None:
    """`--no-wait` goes on after the command: not in our group, without our terminal."""
    note = tmp_path / "done"
    spawning.detach(python(f"import os; open({str(note)!r}, 'x').write(str(os.getsid(0) != {os.getsid(0)}))"))
    async with asyncio.timeout(DEADLINE):
        while not (note.exists() and note.read_text()):
            await asyncio.sleep(0.01)
    assert note.read_text() == "True"

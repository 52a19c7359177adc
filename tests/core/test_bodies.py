"""Bodies own what they send from: it is closed once, always, and no step of theirs holds the loop."""

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import uvloop

from mediastream import drain
from mediastream.bodies import Body, FileBody, ProcessBody
from mediastream.chunking import FIRST, MOST
from mediastream.errors import StreamCut
from mediastream.http.ranges import Span
from mediastream.openfile import OpenFile
from mediastream.process import Child

DEADLINE = 20.0  # seconds
CONTENT = bytes(range(256)) * 2000  # 512,000: three chunks, each twice the last or as large as may be, and a rest


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "content"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture(params=["cached", "cold"])
def disk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways of reading: what the page cache has at once, and by a thread."""
    if request.param == "cold":
        monkeypatch.setattr(OpenFile, "read_cached", lambda *_: None)
    return str(request.param)


def descriptors() -> set[str]:
    found = set()
    for fd in os.listdir("/proc/self/fd"):
        try:
            found.add(f"{fd} {os.readlink(f'/proc/self/fd/{fd}')}")
        except FileNotFoundError:  # the one listdir itself had open
            continue
    return found


async def collect(body: Body, into: list[bytes] | None = None) -> list[bytes]:
    """All chunks; those before a cut are found in `into`."""
    chunks = [] if into is None else into
    async with asyncio.timeout(DEADLINE):
        async for chunk in body:
            chunks.append(chunk)
    return chunks


async def step_with_turns(body: Body) -> tuple[bytes | None, int]:
    """One step of the body, and how often another task ran during it."""
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    try:
        async with asyncio.timeout(DEADLINE):
            return await anext(body, None), turns
    finally:
        task.cancel()


@pytest.mark.usefixtures("disk")
@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ([Span(0, len(CONTENT))], CONTENT),
        ([Span(5, 6)], CONTENT[5:6]),
        ([Span(FIRST - 1, FIRST + 1)], CONTENT[FIRST - 1 : FIRST + 1]),
        ([b"head", Span(1, 3), b"between", Span(200_000, 256_000), b"tail"], None),
        ([Span(7, 7), b"only framing"], b"only framing"),
        ([Span(9, 9)], b""),
        ([], b""),
    ],
)
async def test_pieces_in_order_and_in_chunks(path: Path, pieces: list[bytes | Span], expected: bytes | None) -> None:
    body = FileBody(await OpenFile.open(path), pieces)
    chunks = await collect(body)
    await body.aclose()
    wanted = b"".join(piece if isinstance(piece, bytes) else CONTENT[piece.start : piece.stop] for piece in pieces)
    assert b"".join(chunks) == wanted
    assert expected is None or expected == wanted
    assert all(0 < len(chunk) <= MOST for chunk in chunks)


async def test_an_open_file_tells_size_and_time(path: Path) -> None:
    os.utime(path, (1_000_000_000.9, 1_000_000_000.9))
    file = await OpenFile.open(path)
    assert (file.size, file.modified) == (len(CONTENT), 1_000_000_000)
    assert not os.get_inheritable(file.fd)
    file.close()
    with pytest.raises(FileNotFoundError):
        await OpenFile.open(path.with_name("missing"))


async def test_an_empty_file_is_an_empty_body(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    file = await OpenFile.open(tmp_path / "empty")
    body = FileBody(file, [Span(0, file.size)])
    assert await collect(body) == []
    await body.aclose()


@pytest.mark.usefixtures("disk")
async def test_a_file_that_shrinks_cuts_the_stream(path: Path) -> None:
    """Padding to the promised length would be a lie, an early end looks like success."""
    body = FileBody(await OpenFile.open(path), [Span(0, len(CONTENT))])
    got = [await anext(body)]
    os.truncate(path, 100_000)
    with pytest.raises(StreamCut, match=rf"ends at byte 100000, before the {len(CONTENT)}"):
        await collect(body, got)
    assert b"".join(got) == CONTENT[:100_000]
    await body.aclose()


@pytest.mark.usefixtures("disk")
async def test_a_read_error_cuts_the_stream(path: Path) -> None:
    file = await OpenFile.open(path)
    other = os.open(path, os.O_WRONLY)
    os.dup2(other, file.fd)  # cannot be read any more
    os.close(other)
    body = FileBody(file, [Span(0, 10)])
    with pytest.raises(StreamCut, match="cannot be read"):
        await anext(body)
    await body.aclose()


@pytest.mark.usefixtures("disk")
async def test_every_step_gives_others_a_turn(path: Path) -> None:
    """After a disconnect send() does not suspend; then the body alone keeps the loop from being held."""
    body = FileBody(await OpenFile.open(path), [b"head", Span(0, len(CONTENT)), b"tail"])
    steps = 0
    while True:
        chunk, turns = await step_with_turns(body)
        if chunk is None:
            break
        steps += 1
        assert turns > 0
    assert steps == 6
    await body.aclose()


@pytest.mark.usefixtures("disk")
async def test_closing_is_safe_at_any_time_and_leaks_nothing(path: Path) -> None:
    before = descriptors()
    for steps in range(4):
        body = FileBody(await OpenFile.open(path), [Span(0, len(CONTENT))])
        for _ in range(steps):
            await anext(body)
        await body.aclose()
        await body.aclose()
        assert await collect(body) == []
    assert descriptors() == before


async def test_closing_during_a_read_waits_for_it_and_closes_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A number closed while a thread reads it may by then be another file's."""
    reading, go_on = threading.Event(), threading.Event()
    closed: list[int] = []
    pread, close = os.pread, os.close

    def slow(fd: int, size: int, offset: int) -> bytes:
        reading.set()
        assert go_on.wait(DEADLINE)
        return pread(fd, size, offset)

    def counted(fd: int) -> None:
        closed.append(fd)
        close(fd)

    before = descriptors()
    file = await OpenFile.open(path)
    fd = file.fd
    monkeypatch.setattr(OpenFile, "read_cached", lambda *_: None)
    monkeypatch.setattr(os, "pread", slow)
    monkeypatch.setattr(os, "close", counted)
    body = FileBody(file, [Span(0, 10)])
    step = asyncio.create_task(anext(body))
    assert await asyncio.to_thread(reading.wait, DEADLINE)
    step.cancel()
    await asyncio.gather(step, return_exceptions=True)
    await body.aclose()
    await body.aclose()
    assert fd not in closed
    go_on.set()
    async with asyncio.timeout(DEADLINE):
        while fd not in closed:
            await asyncio.sleep(0.01)
    await body.aclose()
    assert closed.count(fd) == 1
    monkeypatch.undo()
    assert descriptors() == before


class Ended:
    """Counts the calls of `ended`, which gives back a place: twice would give back another's."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> None:
        self.times += 1


async def process_body(code: str, ended: Callable[[], None], first: bytes = b"") -> tuple[ProcessBody, Child]:
    child = Child.spawn([sys.executable, "-c", code])
    return ProcessBody(child, first, ended), child


ENDLESS = "import sys\nwhile True: sys.stdout.buffer.write(b'x' * 65536)"


async def test_a_process_that_ends_well_ends_the_body() -> None:
    ended = Ended()
    body, child = await process_body("import sys; sys.stdout.write('rest' * 50_000)", ended, b"first ")
    chunks = await collect(body)
    assert b"".join(chunks) == b"first " + b"rest" * 50_000
    assert chunks[0] == b"first "
    assert all(len(chunk) <= MOST for chunk in chunks)
    assert ended.times == 0
    await body.aclose()
    await body.aclose()
    assert ended.times == 1
    assert not child.running


async def test_a_process_that_fails_cuts_the_stream() -> None:
    """A player that saw a clean end would take what it got for the whole film."""
    body, _ = await process_body("import sys; print('some', flush=True); sys.exit('broke')", Ended())
    got: list[bytes] = []
    with pytest.raises(StreamCut, match=r"ended with 1: broke"):
        await collect(body, got)
    assert b"".join(got) == b"some\n"
    await body.aclose()


async def test_every_step_of_a_process_gives_others_a_turn() -> None:
    body, _ = await process_body(ENDLESS, Ended(), b"first")
    for _ in range(20):
        await asyncio.sleep(0.01)  # let its buffer fill: then a read does not suspend by itself
        chunk, turns = await step_with_turns(body)
        assert chunk
        assert turns > 0
    await body.aclose()


async def test_closing_kills_the_child_and_gives_back_its_place_once() -> None:
    ended = Ended()
    body, child = await process_body(ENDLESS, ended)
    await anext(body)
    async with asyncio.timeout(DEADLINE):
        await asyncio.gather(body.aclose(), body.aclose())
    assert not Path(f"/proc/{child.pid}").exists()
    assert await child.wait() == -signal.SIGKILL
    assert ended.times == 1


async def test_closing_before_the_first_step() -> None:
    ended = Ended()
    body, child = await process_body(ENDLESS, ended, b"first")
    async with asyncio.timeout(DEADLINE):
        await body.aclose()
    assert not child.running
    assert ended.times == 1


async def test_a_cancelled_close_still_ends_the_child() -> None:
    ended = Ended()
    body, child = await process_body(ENDLESS, ended)
    closing = asyncio.create_task(body.aclose())
    await asyncio.sleep(0)
    closing.cancel()
    await asyncio.gather(closing, return_exceptions=True)
    async with asyncio.timeout(DEADLINE):
        assert await child.wait() == -signal.SIGKILL
    assert ended.times == 1


async def test_a_drain_cuts_a_viewer_who_is_waiting() -> None:
    body, _ = await process_body("import time; time.sleep(60)", Ended())
    step = asyncio.create_task(anext(body))
    await asyncio.sleep(0.05)
    drain.begin()
    async with asyncio.timeout(DEADLINE):
        with pytest.raises(StreamCut, match="stopping"):
            await step
    await body.aclose()


async def test_a_drain_cuts_a_viewer_who_was_slow() -> None:
    """The child's pipe is full then, and so it stays: its end must be seen all the same."""
    body, child = await process_body(ENDLESS, Ended(), b"first")
    await anext(body)
    await anext(body)
    await asyncio.sleep(0.3)
    drain.begin()
    async with asyncio.timeout(DEADLINE):
        with pytest.raises(StreamCut, match="stopping"):
            await anext(body)
    await body.aclose()
    assert not child.running


async def test_a_body_made_while_draining_sends_nothing() -> None:
    drain.begin()
    body, _ = await process_body(ENDLESS, Ended(), b"first")
    async with asyncio.timeout(DEADLINE):
        with pytest.raises(StreamCut):
            await anext(body)
    await body.aclose()


def test_the_servers_own_loop_sees_the_same() -> None:
    """uvloop has another way to watch pipes than asyncio."""

    async def main() -> None:
        await test_closing_kills_the_child_and_gives_back_its_place_once()
        await test_a_process_that_ends_well_ends_the_body()
        await test_a_drain_cuts_a_viewer_who_was_slow()

    uvloop.run(main())

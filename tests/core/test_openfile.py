"""Files are opened at once where the kernel has all it needs in memory, else in a thread; each is closed once."""

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mediastream import openfile
from mediastream.openfile import OpenFile
from tests.exhaustion import descriptors_left, open_descriptors

CONTENT = b"content of a file"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture(autouse=True)
def nothing_is_lost() -> Iterator[None]:
    before = open_descriptors()
    yield
    assert open_descriptors() <= before


def no_openat2(*_: object) -> int:
    """As a kernel before 5.6 says, or a sandbox that does not know it."""
    return -1


@pytest.fixture(params=["cached", "threaded"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "threaded":
        monkeypatch.setattr(openfile, "_syscall", no_openat2)
    return str(request.param)


@pytest.fixture
def opened_by(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the threads in which open(2) was called."""
    threads: list[str] = []
    original = OpenFile.open_now

    def open_now(path: Path) -> OpenFile:
        threads.append(threading.current_thread().name)
        return original(path)

    monkeypatch.setattr(OpenFile, "open_now", open_now)
    return threads


async def test_what_is_in_memory_needs_no_thread(path: Path, opened_by: list[str]) -> None:
    path.stat()  # its name has been looked up
    file = await OpenFile.open(path)
    assert opened_by == []
    assert os.pread(file.fd, 100, 0) == CONTENT
    assert not os.get_inheritable(file.fd)
    file.close()


async def test_without_openat2_a_thread_opens(
    path: Path, opened_by: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openfile, "_syscall", no_openat2)
    file = await OpenFile.open(path)
    assert [name.startswith("disk") for name in opened_by] == [True]
    assert os.pread(file.fd, 100, 0) == CONTENT
    assert not os.get_inheritable(file.fd)
    file.close()


async def test_a_name_that_must_be_looked_up_anew_is_left_to_a_thread(path: Path, opened_by: list[str]) -> None:
    """As each of /proc must, whatever was opened before."""
    with path.open() as other:
        file = await OpenFile.open(Path(f"/proc/self/fd/{other.fileno()}"))
    assert os.pread(file.fd, 100, 0) == CONTENT
    assert len(opened_by) == 1
    file.close()


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("missing", FileNotFoundError),
        (".", IsADirectoryError),
        ("file/below", NotADirectoryError),
        ("pipe", IsADirectoryError),
        ("x" * 300, OSError),
        ("fi\0le", ValueError),
        ("file\0", ValueError),
    ],
)
async def test_what_is_no_file_is_refused(path: Path, name: str, error: type[Exception]) -> None:
    """A pipe, too, without waiting for who writes to it. A name with a zero byte is none, and not one up to there."""
    os.mkfifo(path.with_name("pipe"))
    async with asyncio.timeout(10):
        with pytest.raises(error):
            await OpenFile.open(path.parent / name)


@pytest.mark.usefixtures("way")
async def test_names_of_any_bytes(path: Path) -> None:
    other = path.with_name(os.fsdecode(b"caf\xe9 \xff"))
    path.rename(other)
    file = await OpenFile.open(other)
    assert file.size == len(CONTENT)
    file.close()


@pytest.mark.usefixtures("way")
async def test_a_link_is_followed(path: Path) -> None:
    link = path.with_name("link")
    link.symlink_to(path)
    file = await OpenFile.open(link)
    assert file.size == len(CONTENT)
    file.close()


@pytest.mark.usefixtures("way")
async def test_without_a_descriptor_open_says_so(path: Path) -> None:
    with descriptors_left(0), pytest.raises(OSError, match="Too many open files"):
        await OpenFile.open(path)


@pytest.mark.usefixtures("way")
async def test_a_file_that_cannot_be_looked_at_is_closed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when a network file system has lost it since it was opened."""

    def fstat(fd: int) -> os.stat_result:
        raise OSError(116, "Stale file handle")

    with monkeypatch.context() as patched:
        patched.setattr(openfile.os, "fstat", fstat)
        with pytest.raises(OSError, match="Stale"):
            await OpenFile.open(path)


async def test_a_caller_who_gives_up_loses_no_descriptor(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread cannot be stopped; what it has opened is closed when it is there."""
    monkeypatch.setattr(openfile, "_syscall", no_openat2)
    begun, go_on = threading.Event(), threading.Event()
    original: Callable[..., int] = os.open

    def slow(*arguments: object, **named: object) -> int:
        begun.set()
        assert go_on.wait(10)
        return original(*arguments, **named)

    before = open_descriptors()
    monkeypatch.setattr(openfile.os, "open", slow)
    opening = asyncio.create_task(OpenFile.open(path))
    assert await asyncio.to_thread(begun.wait, 10)
    opening.cancel()
    await asyncio.gather(opening, return_exceptions=True)
    assert opening.cancelled()
    monkeypatch.undo()
    go_on.set()
    async with asyncio.timeout(10):
        while open_descriptors() > before + 1 or openfile._disk._work_queue.qsize():
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)


async def test_the_last_owner_closes(path: Path) -> None:
    file = await OpenFile.open(path)
    fd = file.fd
    assert file.share() is file
    file.share()
    for _ in range(2):
        file.close()
        os.fstat(fd)
    file.close()
    assert file.fd == -1
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


async def test_one_close_too_many_closes_nothing_of_others(path: Path) -> None:
    file = await OpenFile.open(path)
    fd = file.fd
    file.close()
    other = os.open(path, os.O_RDONLY)
    assert other == fd  # the number is given again at once
    file.close()
    os.fstat(other)
    os.close(other)

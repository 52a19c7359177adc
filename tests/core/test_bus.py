"""Notices reach every process that listens, and no process that does not keeps one from the others."""

import asyncio
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mediastream import bus
from mediastream.bus import Lease, Listener
from mediastream.environment import ROOT
from tests.exhaustion import open_descriptors
from tests.system.harness import wait_until

Heard = list[tuple[str, str]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(bus, "_folder", None)
    bus.configure(tmp_path / "bus")
    return tmp_path / "bus"


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


def listen() -> tuple[Listener, Heard]:
    heard: Heard = []
    return Listener(lambda topic, key: heard.append((topic, key))), heard


@pytest.mark.usefixtures("folder")
async def test_a_notice_reaches_all_who_listen() -> None:
    (first, one), (second, two) = listen(), listen()
    bus.notify("media", "x")
    bus.notify("camera", "Gärten")
    await until(lambda: len(one) == len(two) == 2)
    assert one == two == [("media", "x"), ("camera", "Gärten")]
    first.close()
    second.close()


async def test_whoever_has_closed_is_told_nothing(folder: Path) -> None:
    before = open_descriptors()
    listener, heard = listen()
    listener.close()
    listener.close()
    bus.notify("media", "x")
    await asyncio.sleep(0.05)
    assert heard == []
    assert list(folder.iterdir()) == []
    assert open_descriptors() == before


@pytest.mark.usefixtures("folder")
def test_a_listener_of_a_loop_that_has_ended_can_be_closed() -> None:
    async def make() -> Listener:
        return listen()[0]

    before = open_descriptors()
    asyncio.run(make()).close()
    assert open_descriptors() == before


async def test_what_a_killed_process_left_is_removed(folder: Path) -> None:
    left = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    left.bind(str(folder / "1-dead.sock"))
    left.close()
    listener, heard = listen()
    bus.notify("media", "x")
    await until(lambda: heard)
    assert not (folder / "1-dead.sock").exists()
    listener.close()


async def test_a_full_queue_loses_notices_and_nobody_waits(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Somebody who does not read, before one who does."""
    deaf = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    deaf.bind(str(folder / "0-deaf.sock"))
    listener, heard = listen()
    count = int(Path("/proc/sys/net/unix/max_dgram_qlen").read_text()) * 2 + 20
    for number in range(count):
        bus.notify("media", str(number))
        if number % 5 == 0:
            await until(lambda number=number: ("media", str(number)) in heard)
    await until(lambda: len(heard) == count)
    assert caplog.records == []
    deaf.close()
    listener.close()


async def test_what_is_no_notice_is_passed_over(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    listener, heard = listen()
    (path,) = folder.iterdir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        for data in (b"", b"\xff", b"[]", b'{"a": 1}', b"x" * 9000):
            sender.sendto(data, str(path))
            await asyncio.sleep(0.01)
    bus.notify("media", "x")
    await until(lambda: heard)
    assert heard == [("media", "x")]
    assert len(caplog.records) == 5
    listener.close()


@pytest.mark.usefixtures("folder")
async def test_who_hears_may_fail(caplog: pytest.LogCaptureFixture) -> None:
    heard = []

    def hear(topic: str, key: str) -> None:
        heard.append(key)
        raise RuntimeError("of the one who hears")

    listener = Listener(hear)
    bus.notify("media", "x")
    bus.notify("media", "y")
    await until(lambda: len(heard) == 2)
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 2
    listener.close()


@pytest.mark.usefixtures("folder")
def test_a_notice_is_short() -> None:
    with pytest.raises(ValueError, match="names what has changed"):
        bus.notify("media", "x" * bus.LONGEST)


def test_without_a_folder_nobody_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bus, "_folder", None)
    bus.notify("media", "x")


async def test_a_folder_whose_path_is_longer_than_an_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bus, "_folder", None)
    folder = tmp_path / ("d" * 100) / ("e" * 100)
    bus.configure(folder)
    listener, heard = listen()
    bus.notify("media", "x")
    await until(lambda: heard)
    lease = Lease.take("camera")
    assert lease is not None
    lease.release()
    listener.close()


async def test_a_folder_that_is_gone(folder: Path) -> None:
    folder.rmdir()
    before = open_descriptors()
    with pytest.raises(OSError, match="No such file"):
        listen()
    with pytest.raises(OSError, match="No such file"):
        bus.notify("media", "x")
    assert open_descriptors() == before


@pytest.mark.usefixtures("folder")
def test_a_lease_has_one_holder() -> None:
    lease = Lease.take("camera")
    assert lease is not None
    assert Lease.take("camera") is None
    other = Lease.take("other")
    assert other is not None
    lease.release()
    lease.release()
    again = Lease.take("camera")
    assert again is not None
    again.release()
    other.release()


HOLD = """
import sys, time
from pathlib import Path
from mediastream import bus
bus.configure(Path(sys.argv[1]))
lease = bus.Lease.take("camera")
print(lease is not None, flush=True)
time.sleep(600)
"""


@pytest.fixture
def holder(folder: Path) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True, cwd=ROOT, env=os.environ
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "True\n"
    yield process
    process.kill()
    process.wait(10)
    process.stdout.close()


def test_a_lease_is_given_back_when_its_holder_is_killed(holder: "subprocess.Popen[str]") -> None:
    assert Lease.take("camera") is None
    holder.send_signal(signal.SIGKILL)
    holder.wait(10)
    taken: list[Lease] = []

    def take() -> bool:
        lease = Lease.take("camera")
        taken.extend([lease] if lease is not None else [])
        return lease is not None

    wait_until(take, 5, "the lease to be free")
    taken[0].release()


@pytest.mark.usefixtures("folder")
def test_a_child_does_not_hold_a_lease() -> None:
    """A camera's FFmpeg outlives its worker's kill by some milliseconds, and must not keep the lease meanwhile."""
    lease = Lease.take("camera")
    assert lease is not None
    with subprocess.Popen(["sleep", "60"]) as child:
        lease.release()
        again = Lease.take("camera")
        child.kill()
    assert again is not None
    again.release()

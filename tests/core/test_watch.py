"""The watch reads again what is in use, soon after a notice and twice a second, whatever goes wrong."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from asgiref.sync import sync_to_async

from mediastream import bus, homeloop, rows, streams, watch
from mediastream.request_threads import SHARED, lean_threads, shared_threads
from mediastream.rows import Rows
from mediastream.streams import Label, Stream
from tests.exhaustion import open_descriptors

pytestmark = pytest.mark.usefixtures("watched")
SOON = 5.0  # seconds: of a machine with other things to do


class Table:
    def __init__(self) -> None:
        self.content = {"a": "old"}
        self.asked = 0
        self.fault: Exception | None = None

    def load(self, keys: Collection[str]) -> dict[str, str]:
        self.asked += 1
        if self.fault is not None:
            raise self.fault
        return {key: self.content[key] for key in keys if key in self.content}


@pytest.fixture
def table() -> Table:
    return Table()


@pytest.fixture
def kept(table: Table, monkeypatch: pytest.MonkeyPatch) -> Rows[str, str]:
    """And no other rows."""
    monkeypatch.setattr(rows, "_all", {})
    return Rows("test", table.load, str)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(bus, "_folder", None)
    bus.configure(tmp_path / "bus")
    return tmp_path / "bus"


@pytest_asyncio.fixture
async def watching(kept: Rows[str, str]) -> AsyncIterator[None]:
    watch.begin()
    yield
    await watch.end()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(SOON):
        while not condition():
            await asyncio.sleep(0.005)


@pytest.mark.usefixtures("watching")
async def test_a_change_is_seen_without_a_notice(kept: Rows[str, str], table: Table) -> None:
    await kept.get("a")
    table.content["a"] = "new"
    await until(lambda: kept.known("a") == "new")


async def test_a_notice_is_heeded_soon(kept: Rows[str, str], table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "EVERY", 600.0)
    watch.begin()
    await kept.get("a")
    table.content["a"] = "new"
    bus.notify("test", "a")
    await until(lambda: kept.known("a") == "new")
    await watch.end()


async def test_a_crowd_of_notices_is_a_few_looks(
    kept: Rows[str, str], table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "EVERY", 600.0)
    monkeypatch.setattr(watch, "GATHER", 0.2)
    watch.begin()
    await kept.get("a")
    table.asked = 0
    for number in range(200):
        bus.notify("test", str(number))
        await asyncio.sleep(0)
    await until(lambda: table.asked)
    await asyncio.sleep(0.3)
    assert table.asked < 20
    await watch.end()


@pytest.mark.usefixtures("watching")
async def test_who_else_wants_to_know_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setitem(watch.on_notice, "other", told.append)
    bus.notify("other", "x")
    await until(lambda: told == ["x"])


@pytest.mark.usefixtures("watching")
async def test_a_stream_without_a_right_is_ended(kept: Rows[str, str], table: Table) -> None:
    ended = asyncio.Event()
    kept.hold("a")
    await kept.refresh()

    def holds() -> bool:
        kept.hold("a")
        return not kept.gone("a")

    stream = streams.opened(Stream(Label("file", "a"), holds, ended.set), brief=True)
    await asyncio.sleep(1.2)
    assert not ended.is_set()
    del table.content["a"]
    await asyncio.wait_for(ended.wait(), SOON)
    streams.closed(stream)


@pytest.mark.usefixtures("watching")
async def test_a_database_that_fails_is_told_once_and_asked_again(
    kept: Rows[str, str], table: Table, caplog: pytest.LogCaptureFixture
) -> None:
    other = Rows[str, str]("other", lambda keys: dict.fromkeys(keys, "x"), str)
    await kept.get("a")
    await other.get("b")
    with caplog.at_level(logging.INFO, "mediastream.watch"):
        table.fault = OSError("locked")
        asked = table.asked
        await until(lambda: table.asked >= asked + 3)
        assert other.known("b") == "x"
        table.fault, table.content["a"] = None, "new"
        await until(lambda: kept.known("a") == "new")
        await until(lambda: len(caplog.records) == 2)
    assert [record.getMessage() for record in caplog.records] == [
        "rows in use cannot be read again kind=test: locked",
        "rows in use are read again kind=test",
    ]


@pytest.mark.usefixtures("watching")
async def test_a_round_that_fails_is_not_the_last(
    kept: Rows[str, str], table: Table, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await kept.get("a")

    def fail() -> None:
        raise RuntimeError("of a bug")

    with monkeypatch.context() as patch:
        patch.setattr(streams, "notice", fail)
        await until(lambda: any("a round of the watch failed" in record.getMessage() for record in caplog.records))
    table.content["a"] = "new"
    await until(lambda: kept.known("a") == "new")


@pytest.mark.django_db(transaction=True)  # each call of a shared thread looks after its connections
@pytest.mark.usefixtures("watching")
async def test_it_does_not_wait_behind_requests(kept: Rows[str, str], table: Table) -> None:
    await kept.get("a")
    go_on = threading.Event()

    async def request() -> None:
        async with shared_threads():
            await sync_to_async(go_on.wait)(60)

    requests = [asyncio.create_task(request()) for _ in range(3 * SHARED)]
    try:
        await asyncio.sleep(0.1)
        table.content["a"] = "new"
        await until(lambda: kept.known("a") == "new")
    finally:
        go_on.set()
        await asyncio.gather(*requests)


@pytest.mark.django_db  # the threads look after the connections that others have left in them
async def test_who_outlives_its_request_may_go_on_asking() -> None:
    async def later() -> str:
        await asyncio.sleep(0)
        return await sync_to_async(lambda: threading.current_thread().name)()

    async def request() -> "asyncio.Task[str]":
        with lean_threads():
            return asyncio.create_task(later())

    assert (await (await asyncio.create_task(request()))).startswith("lean")


async def test_without_a_socket_it_looks_all_the_same(
    kept: Rows[str, str], table: Table, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A data folder on a file system that has no sockets."""
    folder.rmdir()
    watch.begin()
    assert "no notices are heard" in caplog.text
    await kept.get("a")
    table.content["a"] = "new"
    await until(lambda: kept.known("a") == "new")
    await watch.end()


@pytest.mark.usefixtures("kept")
async def test_it_leaves_nothing_behind(folder: Path) -> None:
    before = open_descriptors()
    watch.begin()
    watch.begin()
    assert len(list(folder.iterdir())) == 1
    await asyncio.sleep(0)
    await watch.end()
    await watch.end()
    assert list(folder.iterdir()) == []
    assert open_descriptors() == before
    assert watch.lag() == 0.0


@pytest.mark.usefixtures("kept")
def test_a_new_loop_has_a_new_one_and_the_old_is_given_back(folder: Path) -> None:
    async def serve() -> None:
        watch.begin()
        await asyncio.sleep(0.01)

    before = open_descriptors()
    asyncio.run(serve())
    asyncio.run(serve())
    assert len(list(folder.iterdir())) == 1

    async def last() -> None:
        await serve()
        await watch.end()

    asyncio.run(last())
    assert list(folder.iterdir()) == []
    assert open_descriptors() == before


@pytest.fixture
def own_home(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(homeloop, "_home", None)
    yield
    loop = homeloop.home()
    loop.call_soon_threadsafe(loop.stop)
    for thread in threading.enumerate():
        if thread.name == "home-loop":
            thread.join(0.5)
    if not loop.is_running():
        loop.close()


@pytest.mark.usefixtures("own_home")
def test_a_server_without_a_loop_has_it_at_home(kept: Rows[str, str], table: Table, folder: Path) -> None:
    for _ in range(3):
        watch.begin_at_home()
    assert len(list(folder.iterdir())) == 1
    homeloop.call(kept.get("a"), SOON)
    table.content["a"] = "new"
    homeloop.call(until(lambda: kept.known("a") == "new"), SOON)
    homeloop.call(watch.end(), SOON)


@pytest.mark.usefixtures("kept")
async def test_a_loop_that_stands_still_is_late() -> None:
    watch.begin()
    await until(lambda: watch.lag() > 0.0)
    await asyncio.sleep(0.01)
    threading.Event().wait(watch.EVERY + 0.5)
    await asyncio.sleep(0.05)
    assert watch.lag() > 0.3
    await watch.end()

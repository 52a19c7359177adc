"""Rows kept in memory: believed for a second, never longer than they are true, and bounded."""

import asyncio
import threading
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from asgiref.sync import ThreadSensitiveContext
from django.contrib.auth import get_user_model
from django.db import transaction

from mediastream import bus, rows
from mediastream.rows import Rows
from mediastream.visitors import visitors


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(rows, "time", made)
    return made


class Table:
    """A table of the database. `while_reading` is called between the reading and the answer to it."""

    def __init__(self, **content: str) -> None:
        self.content = content
        self.questions: list[list[str]] = []
        self.while_reading: Callable[[], object] = lambda: None

    def load(self, keys: Collection[str]) -> dict[str, str]:
        self.questions.append(list(keys))
        found = {key: self.content[key] for key in keys if key in self.content}
        self.while_reading()
        return found


@pytest.fixture
def table() -> Table:
    return Table(a="old", b="b")


@pytest.fixture
def kept(table: Table) -> Iterator[Rows[str, str]]:
    yield Rows("test", table.load, str)
    del rows._all["test"]


class Overlap:
    """Runs `kept.get` in a thread of its own, and lets it have read but not yet answered."""

    def __init__(self, kept: Rows[str, str], table: Table, key: str) -> None:
        self.read, self.go_on = threading.Event(), threading.Event()
        self.found: str | None = None
        table.while_reading = self._pause
        self._thread = threading.Thread(target=self._run, args=(kept, key))
        self._thread.start()
        assert self.read.wait(10)
        table.while_reading = lambda: None

    def _pause(self) -> None:
        self.read.set()
        assert self.go_on.wait(10)

    def _run(self, kept: Rows[str, str], key: str) -> None:
        async def get() -> str | None:
            with ThreadPoolExecutor(1) as thread:  # a question of another thread's must not wait for this one's
                async with ThreadSensitiveContext(executor=thread):
                    return await kept.get(key)

        self.found = asyncio.run(get())

    def end(self) -> str | None:
        self.go_on.set()
        self._thread.join(10)
        return self.found


async def test_a_row_is_asked_for_once_and_believed_for_a_second(
    kept: Rows[str, str], table: Table, clock: Clock
) -> None:
    assert await kept.get("a") == "old"
    table.content["a"] = "new"
    clock.now += 0.9
    assert await kept.get("a") == kept.known("a") == "old"
    clock.now += 0.2
    assert kept.known("a") is None
    assert await kept.get("a") == "new"
    assert table.questions == [["a"], ["a"]]


async def test_it_is_believed_from_the_question_on_and_not_from_the_answer(
    kept: Rows[str, str], table: Table, clock: Clock
) -> None:
    def slow() -> None:
        clock.now += 1.0

    table.while_reading = slow
    assert await kept.get("a") == "old"
    assert kept.known("a") is None


async def test_what_is_not_there_is_asked_for_each_time(kept: Rows[str, str], table: Table) -> None:
    assert await kept.get("x") is None
    table.content["x"] = "new"
    assert await kept.get("x") == "new"


async def test_a_changed_row_is_not_believed(kept: Rows[str, str], table: Table) -> None:
    await kept.get("a")
    table.content["a"] = "new"
    kept.forget("a")
    assert kept.known("a") is None
    assert kept.last("a") == "old"
    assert await kept.get("a") == "new"


async def test_a_change_leaves_other_rows_believed(kept: Rows[str, str], table: Table) -> None:
    await kept.get("a")
    await kept.get("b")
    rows.heard("test", "a")
    assert kept.known("a") is None
    assert kept.known("b") == "b"


@pytest.mark.parametrize("known_before", [True, False])
def test_a_row_read_before_a_change_is_not_believed_after_it(
    kept: Rows[str, str], table: Table, *, known_before: bool
) -> None:
    """Also if nobody had asked for it before, so that the notice found nothing to forget."""
    if known_before:
        asyncio.run(kept.get("a"))
        kept.forget("a")
    reading = Overlap(kept, table, "a")
    table.content["a"] = "new"
    rows.heard("test", "a")
    reading.end()
    assert kept.known("a") is None
    assert asyncio.run(kept.get("a")) == "new"


def test_an_old_answer_does_not_replace_a_new_one(kept: Rows[str, str], table: Table) -> None:
    """Read before the change, answered after one who read after it."""
    asyncio.run(kept.get("a"))
    kept.forget("a")
    reading = Overlap(kept, table, "a")
    table.content["a"] = "new"
    rows.heard("test", "a")
    assert asyncio.run(kept.get("a")) == "new"
    assert reading.end() == "new"
    assert kept.known("a") == "new"


def test_an_old_answer_does_not_either_where_no_notice_comes(kept: Rows[str, str], table: Table, clock: Clock) -> None:
    asyncio.run(kept.get("a"))
    clock.now += 2
    reading = Overlap(kept, table, "a")
    clock.now += 0.1
    table.content["a"] = "new"
    assert asyncio.run(kept.get("a")) == "new"
    reading.end()
    assert kept.known("a") == "new"


async def test_changes_of_others_do_not_hide_that_a_row_is_gone(kept: Rows[str, str], table: Table) -> None:
    """A busy table: with each question something else changes, and the stream of a deleted item must still end."""
    await kept.get("a")
    del table.content["a"]
    kept.forget("a")
    table.while_reading = lambda: kept.forget("b")
    await kept.refresh()
    assert kept.gone("a")
    kept.forget("a")
    assert kept.gone("a")


async def test_a_row_that_is_the_same_stays_the_same_object(table: Table, kept: Rows[str, str]) -> None:
    """A grant stands as long as it does (grants.py)."""
    table.content["a"] = "".join(["x"] * 3)
    first = await kept.get("a")
    table.content["a"] = "".join(["x"] * 3)
    kept.forget("a")
    assert await kept.get("a") is first


async def test_refresh_asks_together_for_what_is_in_use(kept: Rows[str, str], table: Table, clock: Clock) -> None:
    await kept.get("a")
    await kept.get("b")
    clock.now += rows.IN_USE - 1
    kept.known("b")
    clock.now += 2
    table.questions.clear()
    await kept.refresh()
    assert table.questions == [["b"]]
    assert kept.known("b") == "b"
    clock.now += rows.IN_USE + 1
    await kept.refresh()
    assert table.questions == [["b"]]


async def test_many_rows_are_asked_for_in_several_questions(kept: Rows[str, str], table: Table) -> None:
    table.content = {str(number): "x" for number in range(1200)}
    for key in table.content:
        await kept.get(key)
    table.questions.clear()
    await kept.refresh()
    assert [len(question) for question in table.questions] == [500, 500, 200]


async def test_what_does_not_exist_takes_no_room(kept: Rows[str, str]) -> None:
    for number in range(3):
        await kept.get(f"none {number}")
    assert not kept._kept


async def test_room_is_bounded_and_the_longest_unused_go(
    kept: Rows[str, str], table: Table, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "MOST", 8)
    table.content = {str(number): "x" for number in range(20)}
    for key in table.content:
        clock.now += 0.01
        await kept.get(key)
        kept.known("0")
        assert len(kept._kept) <= 8
    assert {"0", "19", "18", "17", "16"} <= set(kept._kept)


async def test_what_a_stream_hangs_on_is_kept_whoever_else_asks_for_what(
    kept: Rows[str, str], table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else its right would be that of the moment when it was let in, for as long as the others ask."""
    monkeypatch.setattr(rows, "MOST", 8)
    assert kept.last("a") is None  # given up before the watch looked for the first time
    kept.hold("a")
    await kept.refresh()
    assert kept.last("a") == "old"
    for number in range(50):
        table.content[str(number)] = "x"
        await kept.get(str(number))
    table.content["a"] = "new"
    await kept.refresh()
    assert kept.last("a") == "new"
    del table.content["a"]
    await kept.refresh()
    assert kept.gone("a")


def test_threads_may_ask_and_forget_at_once() -> None:
    """Keys hash in Python, so that a thread may be stopped within any operation on a dictionary."""

    class Slow(str):
        __slots__ = ()

        def __hash__(self) -> int:
            time.sleep(0)
            return super().__hash__()

    kept: Rows[str, str] = Rows("threads", lambda keys: dict.fromkeys(keys, "x"), Slow)
    faults: list[BaseException] = []

    def work(first: int) -> None:
        try:
            for number in range(first, first + 300):
                asyncio.run(kept.get(Slow(number % 40)))
                kept.forget(Slow((number + 7) % 40))
                kept.hold(Slow((number + 3) % 50))
                if number % 5 == 0:
                    asyncio.run(kept.refresh())
        except BaseException as fault:
            faults.append(fault)

    try:
        threads = [threading.Thread(target=work, args=(first,)) for first in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert faults == []
    finally:
        del rows._all["threads"]


async def test_a_question_that_fails_is_told_and_forgotten(kept: Rows[str, str], table: Table) -> None:
    def fail() -> None:
        raise OSError("the database is gone")

    await kept.get("a")
    table.while_reading = fail
    kept.forget("a")
    with pytest.raises(OSError, match="gone"):
        await kept.get("a")
    assert not kept._questions
    assert kept.last("a") == "old"
    table.while_reading = lambda: None
    assert await kept.get("a") == "old"


def test_a_notice_of_nothing_here_is_passed_over(kept: Rows[str, str]) -> None:
    rows.heard("nothing", "a")
    rows.heard("test", "none")
    assert not kept._kept


@pytest.mark.django_db(transaction=True)
def test_a_row_read_while_its_change_was_not_yet_committed_is_not_believed_afterwards(
    kept: Rows[str, str], table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not only when the notice has come round: who made the change asks again at once."""
    told: list[tuple[str, str]] = []
    monkeypatch.setattr(bus, "notify", lambda *notice: told.append(notice))
    with transaction.atomic():
        kept.changed("a", "default")
        assert asyncio.run(kept.get("a")) == "old"  # somebody else, whom the change does not concern yet
        assert kept.known("a") == "old"
        assert told == []
    table.content["a"] = "new"
    assert told == [("test", "a")]
    assert kept.known("a") is None


@pytest.mark.django_db(transaction=True)
def test_a_change_that_is_rolled_back_is_told_to_nobody(kept: Rows[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, str]] = []
    monkeypatch.setattr(bus, "notify", lambda *notice: told.append(notice))
    with transaction.atomic():
        kept.changed("a", "default")
        transaction.set_rollback(True)
    assert told == []


@pytest.mark.django_db(transaction=True)
def test_a_bus_that_fails_does_not_undo_the_change(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError("no such folder")

    monkeypatch.setattr(bus, "notify", fail)
    user = get_user_model().objects.create_user("ann")
    user.is_active = False
    user.save()
    assert not asyncio.run(visitors.get(user.pk)).is_active  # type: ignore[union-attr]

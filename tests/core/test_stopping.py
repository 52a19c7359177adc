"""The stop signal is heard before the server's own handler, whatever that is."""

import asyncio
import signal
import threading
from collections.abc import Iterator

import pytest

from mediastream import drain, homeloop, stopping


@pytest.fixture(autouse=True)
def handlers_back(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(stopping, "_listening", False)
    monkeypatch.setattr(homeloop, "_home", None)
    before = {number: signal.getsignal(number) for number in stopping.STOPS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_the_latch_is_closed_and_the_servers_handler_runs() -> None:
    heard: list[tuple[int, bool]] = []
    signal.signal(signal.SIGTERM, lambda number, _: heard.append((number, drain.begun())))
    stopping.listen()
    stopping.listen()
    signal.raise_signal(signal.SIGTERM)
    assert heard == [(signal.SIGTERM, True)]


def test_where_no_server_has_a_handler_nothing_changes() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    stopping.listen()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_another_thread_leaves_the_handlers_alone() -> None:
    def theirs(*_: object) -> None: ...

    signal.signal(signal.SIGTERM, theirs)
    thread = threading.Thread(target=stopping.listen)
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGTERM) is theirs


def test_an_event_loops_own_handler_still_runs() -> None:
    async def serve() -> tuple[bool, list[str]]:
        homeloop.adopt()
        ended: list[str] = []
        asked = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asked.set)
        stopping.listen()
        drain.on_begin(lambda: ended.append("a stream"))
        signal.raise_signal(signal.SIGTERM)
        await asyncio.wait_for(asked.wait(), 10)
        asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)
        return drain.begun(), ended

    assert asyncio.run(serve()) == (True, ["a stream"])

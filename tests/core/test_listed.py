"""A body pulled by a thread is one of the open streams, and ends with its right wherever the thread is."""

import asyncio
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from mediastream import homeloop, streams
from mediastream.bodies import Body
from mediastream.errors import StreamCut
from mediastream.responses import StreamResponse
from mediastream.streams import Label
from mediastream.visitors import NOBODY, Visitor

# Closing a response ends its request, of which Django tells its database connections.
pytestmark = pytest.mark.django_db
DEADLINE = 20.0  # seconds


class Source(Body):
    """Chunks, then the end, a cut, or nothing more."""

    def __init__(self, then: str = "end") -> None:
        self.left = 3
        self.then = then
        self.closed = 0

    async def __anext__(self) -> bytes:
        await asyncio.sleep(0)
        if self.left:
            self.left -= 1
            return b"chunk"
        if self.then == "wait":
            await asyncio.Event().wait()
        if self.then == "cut":
            raise StreamCut("gone")
        raise StopAsyncIteration

    async def aclose(self) -> None:
        await asyncio.sleep(0)
        self.closed += 1


@dataclass
class Right:
    stands: bool = True
    visitor: Visitor = NOBODY
    asked: list[int] = field(default_factory=list)

    def holds(self) -> bool:
        self.asked.append(threading.get_ident())
        return self.stands


@pytest.fixture(autouse=True)
def nothing_else(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(streams, "_open", set())
    monkeypatch.setattr(streams, "_totals", {})
    yield
    assert not streams.open_streams()


def response(source: Source, right: Any = None) -> StreamResponse:
    return StreamResponse(source, "video/mp4", Label("transcode", "x"), right)


async def _notice() -> None:
    streams.notice()


def notice() -> None:
    """As the watch does."""
    homeloop.call(_notice(), DEADLINE)


def ended() -> dict[str, int]:
    return dict(streams.totals()["transcode"].ended)


def test_it_is_listed_while_it_is_pulled() -> None:
    made = response(Source())
    assert not streams.open_streams()
    chunks = iter(made)
    next(chunks)
    (stream,) = streams.open_streams()
    assert (stream.label.kind, stream.bytes) == ("transcode", 5)
    assert list(chunks) == [b"chunk"] * 2
    assert not streams.open_streams()
    assert (ended(), streams.totals()["transcode"].bytes) == ({"complete": 1}, 15)
    made.close()
    assert ended() == {"complete": 1}


def test_a_viewer_who_leaves() -> None:
    made = response(Source())
    next(iter(made))
    made.close()
    assert ended() == {"left": 1}


def test_a_source_that_breaks_off() -> None:
    with pytest.raises(StreamCut, match="gone"):
        list(response(Source("cut")))
    assert ended() == {"cut": 1}


def test_one_that_nobody_pulls_is_none() -> None:
    made = response(Source())
    made.close()
    assert made.body.closed == 1  # type: ignore[attr-defined]
    assert streams.totals() == {}


async def test_on_an_event_loop_too() -> None:
    made = response(Source())
    assert [chunk async for chunk in made] == [b"chunk"] * 3
    made.close()
    assert ended() == {"complete": 1}


def test_a_right_that_goes_closes_the_source_while_the_thread_is_elsewhere() -> None:
    """It waits in the server's own send, for a viewer who has paused."""
    source, right = Source(), Right()
    made = response(source, right)
    chunks = iter(made)
    next(chunks)
    notice()
    assert (source.closed, len(right.asked)) == (0, 1)
    right.stands = False
    notice()
    homeloop.call(asyncio.sleep(0.05), DEADLINE)
    assert source.closed == 1
    assert ended() == {"revoked": 1}
    with pytest.raises(StreamCut, match="taken away"):
        next(chunks)
    made.close()
    assert ended() == {"revoked": 1}


def test_a_right_that_goes_wakes_a_thread_that_waits_for_the_source() -> None:
    source, right = Source("wait"), Right()
    made = response(source, right)
    faults: list[Exception] = []
    got: list[bytes] = []

    def pull() -> None:
        try:
            got.extend(made)
        except StreamCut as cut:
            faults.append(cut)

    thread = threading.Thread(target=pull)
    thread.start()
    while source.left:
        time.sleep(0.005)
    homeloop.call(asyncio.sleep(0.05), DEADLINE)
    right.stands = False
    notice()
    thread.join(DEADLINE)
    assert not thread.is_alive()
    assert [str(fault) for fault in faults] == ["the right to it was taken away"]
    assert ended() == {"revoked": 1}


def test_an_end_in_order_after_the_right_has_gone_is_none() -> None:
    """The last bytes may have been ready; a player must not take what it got for all."""
    source, right = Source(), Right()
    chunks = iter(response(source, right))
    assert [next(chunks) for _ in range(3)] == [b"chunk"] * 3
    right.stands = False
    notice()
    with pytest.raises(StreamCut):
        next(chunks)

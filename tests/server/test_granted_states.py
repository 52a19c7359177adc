"""What can happen while a granted answer goes out, or between two of them: nothing is left behind, and each end is
counted for what it was."""

import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mediastream import delivery, streams
from mediastream.bodies import DOWNLOAD_PATIENCE
from mediastream.server import granted
from mediastream.server.granted import EARLY, MOST
from tests.exhaustion import descriptors_left, open_descriptors
from tests.server import surface
from tests.server.conftest import content
from tests.server.serving import Serving, read_response, read_to_end, wait_until
from tests.server.test_granted import answer, ranged

Served = Callable[..., Serving]
WHOLE = "bytes=0-"
SMALL = 4096  # bytes of receive buffer


@pytest.fixture(autouse=True)
def long_life(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test here depends on how fast the machine is."""
    monkeypatch.setattr(delivery, "LIFE", 60.0)


@pytest.fixture
def ended() -> Iterator[Callable[[], dict[str, int]]]:
    """How streams of the test's kind have ended since the test began."""
    streams._totals.pop("test", None)
    streams._open.clear()  # what another test has lost is its own fault
    yield lambda: dict(streams.totals()["test"].ended) if "test" in streams.totals() else {}
    ours = "test"
    wait_until(lambda: not [each for each in streams.open_streams() if each.label.kind == ours], "the streams to end")


LARGE = 8 * 1024 * 1024  # bytes, more than the kernel takes for a client that does not read


def under_way(serving: Serving) -> socket.socket:
    """A client that does not read, and whose granted answer of the whole file, which is large now, has stopped."""
    os.truncate(surface.state.path, LARGE)
    with serving.connect() as client:
        answer(client, ranged("bytes=0-9"))
    serving.wait_for_no_client()
    client = serving.connect(SMALL)
    client.sendall(ranged(WHOLE))
    wait_until(lambda: serving.connection()._answering is not None, "the answer")
    until_stopped(serving)
    assert surface.state.asked == 1
    return client


def until_stopped(serving: Serving) -> None:
    """Until nothing more has gone out for a while."""
    before = -1
    while before != (before := serving.connection().handed):
        time.sleep(0.05)


def test_a_paused_client_gets_all_of_it_and_what_it_asked_meanwhile(served: Served, ended: Any) -> None:
    serving = served()
    with under_way(serving) as client:
        further = ranged("bytes=5-14", "X-Other: 1") + ranged("bytes=1-2")
        client.sendall(further)
        _, body, rest = read_on(client)
        assert body[: len(content())] == content()
        assert len(body) == LARGE
        _, body, rest = read_response(client, rest)
        assert body == content()[5:15]
        _, body, rest = read_response(client, rest)
        assert (body, rest) == (content()[1:3], b"")
        assert answer(client, ranged("bytes=7-7"))[1] == content()[7:8]
    serving.wait_for_no_client()
    assert ended() == {"complete": 5}
    assert streams.totals()["test"].bytes == LARGE + 10 + 10 + 2 + 1


def test_what_is_sent_early_is_bounded_and_none_of_it_lost(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(granted, "EARLY", 1000)
    serving = served()
    asked = [ranged(f"bytes={number}-{number}") for number in range(100)]
    with under_way(serving) as client:
        for request in asked:
            client.sendall(request)
        wait_until(lambda: serving.connection()._reading_paused, "the reading to pause")
        assert len(serving.connection()._early) < 1000 + 256 * 1024  # what one read may bring
        _, _, rest = read_on(client)
        for number in range(len(asked)):
            _, body, rest = read_response(client, rest)
            assert body == content()[number : number + 1]
        assert rest == b""


def test_the_rest_of_a_head_that_began_meanwhile_is_read(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(granted, "EARLY", 1000)
    serving = served()
    request = ranged("bytes=5-14", f"X-Long: {'x' * 3000}")
    with under_way(serving) as client:
        client.sendall(request[:2000])
        wait_until(lambda: serving.connection()._reading_paused, "the reading to pause")
        rest = read_on(client)[2]
        client.sendall(request[2000:])
        assert read_response(client, rest)[1] == content()[5:15]


def read_on(client: socket.socket, rest: bytes = b"") -> tuple[bytes, bytes, bytes]:
    """read_response, no longer with a small buffer."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    return read_response(client, rest)


def close(client: socket.socket) -> None:
    client.close()


def reset(client: socket.socket) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.close()


def half_close(client: socket.socket) -> None:
    client.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize("leave", [close, reset, half_close])
@pytest.mark.parametrize("early", [0, 10, 4 * EARLY])
def test_a_client_that_leaves_in_the_middle(
    served: Served, ended: Any, leave: Callable[[socket.socket], None], early: int
) -> None:
    """Whoever half-closes has left, as under gunicorn: an end of its stream is all that we see of either."""
    serving = served()
    with under_way(serving) as client:
        if early:
            client.sendall(bytes(early))
            wait_until(lambda: len(serving.connection()._early) >= min(early, EARLY), "the further bytes")
        before = ended()
        leave(client)
        if leave is half_close and early > EARLY:  # nobody reads what follows so many bytes
            client.close()
        serving.wait_for_no_client()
        assert ended() == {**before, "left": 1}
    assert serving.log.errors() == []


def test_a_client_that_left_before_its_answer_began(served: Served, ended: Any) -> None:
    """With a FIN there is an answer that nobody gets, with a RST there is a fault at the first byte: both end."""
    serving = served()
    with serving.connect() as client:
        answer(client, ranged("bytes=0-9"))
    for leave in (close, reset):
        client = serving.connect()
        client.sendall(ranged("bytes=0-99999"))
        leave(client)
    serving.wait_for_no_client()
    assert sum(ended().values()) >= 1


def test_nothing_is_left_of_many(served: Served) -> None:
    serving = served()
    os.truncate(surface.state.path, LARGE)

    def visit(number: int) -> None:
        with serving.connect() as client:
            client.sendall(ranged(WHOLE if number % 3 else "bytes=0-9"))
            client.recv(1000)
            if number % 2:
                reset(client)

    visit(0)
    serving.wait_for_no_client()
    before = open_descriptors()
    for number in range(100):
        visit(number)
    serving.wait_for_no_client()
    assert open_descriptors() <= before
    serving.on_loop(serving.worker.grants.clear)
    assert open_descriptors() == before - 1


def test_a_right_that_is_taken_away_ends_it(served: Served, ended: Any) -> None:
    serving = served()
    with under_way(serving) as client:
        before = ended()
        surface.state.right.held = False
        serving.on_loop(streams.notice)
        with pytest.raises(ConnectionResetError):  # what the kernel still held is taken back
            read_to_end(client)
        serving.wait_for_no_client()
    assert ended() == {**before, "revoked": 1}


def test_a_client_that_takes_no_byte_is_aborted_after_a_downloads_patience(served: Served, ended: Any) -> None:
    serving = served()
    with under_way(serving) as client:
        connection, before = serving.connection(), ended()
        for now in (0.0, DOWNLOAD_PATIENCE - 1):
            assert not serving.on_loop(lambda now=now: connection.abort_if_stalled(now))
        assert serving.on_loop(lambda: connection.abort_if_stalled(DOWNLOAD_PATIENCE))
        serving.wait_for_no_client()
        with pytest.raises(ConnectionResetError):
            read_to_end(client)
    assert ended() == {**before, "stalled": 1}


def test_it_is_not_idle_meanwhile(served: Served) -> None:
    serving = served()
    with under_way(serving):
        connection = serving.connection()
        for now in range(0, 1000, 100):
            assert not serving.on_loop(lambda now=now: connection.close_if_mute(float(now)))


def test_a_file_that_shrinks_cuts_it_and_the_log_says_so(
    served: Served, ended: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Padding to the promised length would be a lie, and an end in good order too."""
    serving = served()
    with serving.connect() as client:
        answer(client, ranged("bytes=0-9"))
        os.truncate(surface.state.path, 1000)
        client.sendall(ranged("bytes=500-1999"))
        assert read_to_end(client).partition(b"\r\n\r\n")[2] == content()[500:1000]
    serving.wait_for_no_client()
    assert ended() == {"complete": 1, "cut": 1}
    assert "ends at byte 1000" in caplog.text
    assert surface.state.asked == 1


def test_a_file_that_is_deleted_or_replaced_is_seen_when_the_grant_is_over(served: Served) -> None:
    serving = served()
    path = surface.state.path
    with serving.connect() as client:
        answer(client, ranged("bytes=0-9"))
        path.unlink()
        assert answer(client, ranged("bytes=10-19"))[1] == content()[10:20]
        shutil.copyfile(__file__, path)
        assert answer(client, ranged("bytes=10-19"))[1] == content()[10:20]
        serving.on_loop(serving.worker.grants.clear)
        assert answer(client, ranged("bytes=10-19"))[1] == path.read_bytes()[10:20]
        path.unlink()
        serving.on_loop(serving.worker.grants.clear)
        assert answer(client, ranged("bytes=10-19"))[0].startswith(b"HTTP/1.1 404 ")


@pytest.mark.parametrize("left", [0, 1])
def test_when_no_descriptor_is_left_nothing_is_lost(served: Served, ended: Any, left: int) -> None:
    """With none, the file cannot be opened; with one, the socket cannot be had a second time, and the file is read."""
    serving = served()
    with serving.connect() as first, serving.connect() as second:
        answer(first, ranged("bytes=0-9"))
        wait_until(lambda: len(serving.worker.connections) == 2, "both")
        before = open_descriptors()
        with descriptors_left(left):
            if left:
                assert answer(second, ranged("bytes=0-9", "X-Other: 1"))[1] == content()[:10]
            else:
                assert answer(second, ranged("bytes=0-9"))[0].startswith(b"HTTP/1.1 503 ")
        assert answer(first, ranged("bytes=5-9"))[1] == content()[5:10]  # which has one
        serving.on_loop(serving.worker.grants.clear)  # each holds its file for a moment
        wait_until(lambda: open_descriptors() <= before, "the descriptors")
    serving.wait_for_no_client()
    assert ended() == {"complete": 3 if left else 2}
    assert streams.totals()["test"].bytes == (25 if left else 15)
    assert serving.log.errors() == []


def test_a_file_that_has_shrunk_is_cut_where_it_is_read_too(served: Served, ended: Any) -> None:
    serving = served()
    os.truncate(surface.state.path, LARGE)
    with serving.connect(SMALL) as client:
        answer(client, b"GET /small?n= HTTP/1.1\r\nHost: localhost\r\n\r\n")
        with descriptors_left(1):
            client.sendall(ranged(WHOLE))
            wait_until(lambda: serving.connection().handed > 1000, "the first bytes")
            os.truncate(surface.state.path, 100)
            assert len(read_to_end(client)) < LARGE
    wait_until(ended, "the end")
    assert ended() == {"cut": 1}
    assert serving.log.errors() == []


def test_a_stopping_worker_grants_nothing_and_lets_one_under_way_end(served: Served, ended: Any) -> None:
    serving = served()
    with under_way(serving) as client:
        serving.worker.alive = False
        connection, asked = serving.connection(), surface.state.asked
        serving.on_loop(lambda: connection.wind_up(29.0, 30.0))
        client.sendall(ranged("bytes=5-14"))
        _, body, rest = read_on(client)
        assert len(body) == LARGE
        head, body, rest = read_response(client, rest)
        assert b"\r\nConnection: close" in head
        assert (body, rest + read_to_end(client)) == (content()[5:15], b"")
        assert surface.state.asked == asked + 1
    serving.wait_for_no_client()
    assert "left" not in ended()


def test_a_stopping_worker_closes_one_that_is_idle_after_a_granted_answer(served: Served) -> None:
    serving = served()
    with serving.connect() as client:
        answer(client, ranged("bytes=0-9"))
        answer(client, ranged("bytes=0-9"))
        serving.worker.alive = False
        connection = serving.connection()
        serving.on_loop(lambda: connection.wind_up(0.0, 30.0))
        assert read_to_end(client) == b""


def test_the_grace_over_it_is_cut(served: Served, ended: Any) -> None:
    serving = served()
    with under_way(serving):
        connection = serving.connection()
        serving.on_loop(lambda: connection.wind_up(30.0, 30.0))
        serving.wait_for_no_client()
    assert ended()["left"] == 1


def test_granted_answers_count_as_requests_and_the_last_goes_the_whole_way(served: Served) -> None:
    serving = served()
    serving.worker.max_requests = 5
    with serving.connect() as client:
        for number in range(1, 5):
            answer(client, ranged("bytes=0-9"))
            wait_until(lambda number=number: serving.worker.nr == number, "the count")
        assert surface.state.asked == 1
        client.sendall(ranged("bytes=0-9"))
        assert b"\r\nConnection: close\r\n" in read_to_end(client)
    assert surface.state.asked == 2
    assert (serving.worker.nr, serving.worker.alive) == (5, False)


def test_grants_are_bounded_and_their_files_closed(served: Served) -> None:
    serving = served()
    with serving.connect() as client:
        answer(client, ranged("bytes=0-9"))
        before = open_descriptors()
        for number in range(MOST + 20):
            answer(client, ranged("bytes=0-9", f"X-Number: {number}"))
        assert len(serving.worker.grants._kept) == MOST
        assert open_descriptors() == before + MOST - 1
        surface.state.right.same = False
        serving.on_loop(serving.worker.grants.sweep)
        assert open_descriptors() == before - 1

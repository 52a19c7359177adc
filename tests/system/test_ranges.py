"""The whole table of ranges over the real server, by requests on kept connections and each on one of its own.

On a kept one the worker answers what it was granted a moment ago by itself; a header that changes each time has every
request go the whole way. The answers must be the same.
"""

import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count

import pytest

from mediastream.http.conditional import format_date
from tests import ranges
from tests.media import Clips
from tests.ranges import CONTENT, SIZE
from tests.system.harness import Server, read_head, request
from tests.system.stored import Stored

pytestmark = pytest.mark.system


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


@pytest.fixture(scope="module")
def stored(server: Server, clips: Clips) -> Stored:
    return Stored.make(server, clips["silent.mp4"], CONTENT)


@pytest.fixture(scope="module")
def empty(server: Server, clips: Clips) -> Stored:
    return Stored.make(server, clips["silent.mp4"], b"")


Ask = Callable[..., Answer]


@pytest.fixture(scope="module")
def kept(server: Server) -> Iterator[socket.socket]:
    with server.connect() as connection:
        yield connection


@pytest.fixture(params=["alike", "different", "closed"])
def ask(server: Server, kept: socket.socket, request: pytest.FixtureRequest) -> Ask:
    def on(connection: socket.socket, path: str, *headers: str, method: str = "GET") -> Answer:
        connection.sendall(_request(path, *headers, method=method))
        status, described, body = read_head(connection)
        length = 0 if method == "HEAD" or status == 304 else int(described["content-length"])
        while len(body) < length:
            chunk = connection.recv(length - len(body))
            assert chunk, "the body ends before its length"
            body += chunk
        assert len(body) == length
        return Answer(status, described, body)

    def closed(path: str, *headers: str, method: str = "GET") -> Answer:
        with server.connect() as connection:
            answer = on(connection, path, *headers, "Connection: close", method=method)
            assert connection.recv(1) == b""
            return answer

    def different(path: str, *headers: str, method: str = "GET") -> Answer:
        return on(kept, path, *headers, f"X-Number: {next(_numbers)}", method=method)

    def alike(path: str, *headers: str, method: str = "GET") -> Answer:
        on(kept, path, "Range: bytes=1-2")
        return on(kept, path, *headers, method=method)

    asks: dict[str, Ask] = {"alike": alike, "different": different, "closed": closed}
    return asks[request.param]


_request = request  # pytest has a fixture of that name
_numbers = count()


@pytest.mark.parametrize(("wanted", "start", "stop"), ranges.ONE)
def test_one_range(ask: Ask, stored: Stored, wanted: str, start: int, stop: int) -> None:
    answer = ask(stored.address, f"Range: {wanted}")
    assert (answer.status, answer.body) == (206, CONTENT[start:stop])
    assert answer.headers["content-range"] == f"bytes {start}-{stop - 1}/{SIZE}"


@pytest.mark.parametrize("wanted", [*ranges.WITHOUT_MEANING, ranges.COST_MORE_THAN_THE_WHOLE])
def test_the_whole_where_a_range_has_no_meaning(ask: Ask, stored: Stored, wanted: str) -> None:
    answer = ask(stored.address, f"Range: {wanted}")
    assert (answer.status, answer.body) == (200, CONTENT)
    assert "content-range" not in answer.headers


@pytest.mark.parametrize("spans", ranges.SEVERAL)
def test_several_ranges(ask: Ask, stored: Stored, spans: list[tuple[int, int]]) -> None:
    wanted = ", ".join(f"{start}-{stop - 1}" for start, stop in spans)
    answer = ask(stored.address, f"Range: bytes={wanted}")
    assert answer.status == 206
    kind, _, boundary = answer.headers["content-type"].partition("; boundary=")
    assert kind == "multipart/byteranges"
    assert ranges.parts(answer.body, boundary.encode()) == [
        (f"bytes {start}-{stop - 1}/{SIZE}", "video/mp4", CONTENT[start:stop]) for start, stop in spans
    ]


@pytest.mark.parametrize("wanted", ranges.OUTSIDE)
def test_a_range_outside(ask: Ask, stored: Stored, wanted: str) -> None:
    answer = ask(stored.address, f"Range: {wanted}")
    assert answer.status == 416
    assert answer.headers["content-range"] == f"bytes */{SIZE}"
    assert b"range_not_satisfiable" in answer.body


@pytest.mark.parametrize(("header", "applies"), ranges.IF_RANGE)
def test_if_range(ask: Ask, stored: Stored, header: str, applies: bool) -> None:
    value = filled(ask, stored, header)
    answer = ask(stored.address, "Range: bytes=0-9", f"If-Range: {value}")
    assert (answer.status, answer.body) == ((206, CONTENT[:10]) if applies else (200, CONTENT))


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(("name", "value", "status"), ranges.PRECONDITIONS)
def test_preconditions(ask: Ask, stored: Stored, method: str, name: str, value: str, status: int) -> None:
    answer = ask(stored.address, f"{name.replace('_', '-')}: {filled(ask, stored, value)}", method=method)
    assert answer.status == status
    if status == 304:
        assert "content-length" not in answer.headers
    elif status == 200:
        assert int(answer.headers["content-length"]) == SIZE
        assert answer.body == (CONTENT if method == "GET" else b"")


def filled(ask: Ask, stored: Stored, value: str) -> str:
    current = ask(stored.address, method="HEAD").headers
    modified = int(stored.path.stat().st_mtime)
    assert current["last-modified"] == format_date(modified)
    return value.format(
        etag=current["etag"],
        date=current["last-modified"],
        earlier=format_date(modified - 60),
        later=format_date(modified + 60),
    )


@pytest.mark.parametrize(("wanted", "status"), ranges.EMPTY)
def test_an_empty_file(ask: Ask, empty: Stored, wanted: str | None, status: int) -> None:
    answer = ask(empty.address, *([f"Range: {wanted}"] if wanted else []))
    assert answer.status == status
    if status == 200:
        assert (answer.body, answer.headers["content-length"]) == (b"", "0")
    else:
        assert answer.headers["content-range"] == "bytes */0"

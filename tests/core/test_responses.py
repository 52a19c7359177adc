"""A StreamResponse closes its body however it ends; file_response says no before it opens more than it must."""

import asyncio
import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from asgiref.sync import async_to_sync
from django.http import HttpResponseBase
from django.test import RequestFactory

from mediastream import homeloop
from mediastream.bodies import Body, OpenFile
from mediastream.errors import Exhausted, Fault, PreconditionFailed, RangeNotSatisfiable, StreamCut, Unknown
from mediastream.responses import StreamResponse, file_response, headers_only
from mediastream.streams import Label
from tests.exhaustion import open_descriptors

# Closing a response ends its request, of which Django tells its database connections.
pytestmark = pytest.mark.django_db

LABEL = Label("file", "x")


class Counted(Body):
    """Three chunks, then the end, or a cut in the end's place."""

    def __init__(self, *, cut: bool = False) -> None:
        self.left = 3
        self.cut = cut
        self.closed = 0

    async def __anext__(self) -> bytes:
        if self.left == 0:
            if self.cut:
                raise StreamCut("gone")
            raise StopAsyncIteration
        self.left -= 1
        return b"chunk"

    async def aclose(self) -> None:
        self.closed += 1


@pytest.fixture
def body() -> Counted:
    return Counted()


@pytest.fixture
def response(body: Counted) -> StreamResponse:
    return StreamResponse(body, "video/mp4", LABEL, status=206)


def test_headers(response: StreamResponse) -> None:
    assert (response.status_code, response["Content-Type"]) == (206, "video/mp4")
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response.streaming
    assert response.is_async
    assert "Content-Length" not in response
    response.close()


def read_all(response: StreamResponse) -> None:
    assert list(response) == [b"chunk"] * 3


def read_one(response: StreamResponse) -> None:
    assert next(iter(response)) == b"chunk"


def read_none(response: StreamResponse) -> None:
    iter(response)


@async_to_sync
async def await_all(response: StreamResponse) -> None:
    assert [chunk async for chunk in response] == [b"chunk"] * 3


@pytest.mark.parametrize("read", [read_all, read_one, read_none, await_all])
def test_the_body_is_closed_however_much_was_read(
    body: Counted, response: StreamResponse, read: Callable[[StreamResponse], None]
) -> None:
    read(response)
    response.close()
    assert body.closed == 1


def test_an_iterator_thrown_away_closes_the_body(body: Counted, response: StreamResponse) -> None:
    chunks = iter(response)
    next(chunks)
    chunks.close()  # type: ignore[attr-defined]
    assert body.closed == 1
    response.close()
    assert body.closed == 1


def test_an_iterator_thrown_away_on_the_home_loop_does_not_make_it_wait_for_itself(
    body: Counted, response: StreamResponse
) -> None:
    """As a collector of garbage may do, which runs in any thread."""
    pieces = iter(response)
    next(pieces)

    async def collected() -> None:
        async with asyncio.timeout(5):
            pieces.close()  # type: ignore[attr-defined]
            while not body.closed:
                await asyncio.sleep(0.01)

    homeloop.call(collected(), 8)
    assert body.closed == 1


def test_a_cut_reaches_the_server_and_closes_the_body() -> None:
    body = Counted(cut=True)
    with pytest.raises(StreamCut):
        list(StreamResponse(body, "video/mp4", LABEL))
    assert body.closed == 1


async def test_a_handler_closes_the_body_before_the_response(body: Counted, response: StreamResponse) -> None:
    await response.aclose()
    assert body.closed == 1
    response.close()
    assert body.closed == 1


async def test_the_body_runs_on_the_home_loop_whoever_pulls_it(response: StreamResponse) -> None:
    assert [chunk async for chunk in response] == [b"chunk"] * 3
    response.close()


def test_the_answer_to_head_says_nothing_of_a_length() -> None:
    response = headers_only("video/mp4")
    assert list(response) == []
    assert response.streaming
    assert "Content-Length" not in response
    assert response["X-Content-Type-Options"] == "nosniff"


def answer(path: Path, method: str = "GET", **headers: str) -> HttpResponseBase:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = RequestFactory().generic(method, "/", headers=named)
    work = file_response(request, path, identity="x", content_type="video/mp4", cache_control="no-cache", label=LABEL)
    return homeloop.call(work, 10)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "x.bin"
    path.write_bytes(bytes(1000))
    homeloop.home()  # which has descriptors of its own, and else might begin while others are counted
    return path


@pytest.mark.parametrize(
    ("headers", "fault"),
    [({"Range": "bytes=1000-"}, RangeNotSatisfiable), ({"If_Match": '"other"'}, PreconditionFailed)],
)
def test_a_refusal_closes_the_file(file: Path, headers: dict[str, str], fault: type[Fault]) -> None:
    before = open_descriptors()
    with pytest.raises(fault):
        answer(file, **headers)
    assert open_descriptors() == before


@pytest.mark.parametrize(("method", "headers"), [("HEAD", {}), ("GET", {"If_None_Match": "*"})])
def test_an_answer_without_bytes_holds_no_file(file: Path, method: str, headers: dict[str, str]) -> None:
    before = open_descriptors()
    response = answer(file, method, **headers)
    assert open_descriptors() == before
    assert b"".join(response) == b""  # type: ignore[arg-type]


def test_a_file_that_is_gone(tmp_path: Path, file: Path) -> None:
    for path in (tmp_path / "gone", file / "below a file"):
        with pytest.raises(Unknown):
            answer(path)


def test_a_file_that_cannot_be_opened_is_our_fault_and_names_no_folder(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    with pytest.raises(Fault, match="cannot be opened") as caught:
        answer(loop)
    assert caught.value.status == 500
    assert str(tmp_path) not in caught.value.detail


def test_a_file_for_which_no_descriptor_is_left_is_asked_for_again(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), str(path))

    monkeypatch.setattr("mediastream.openfile._open_cached", lambda path: None)
    monkeypatch.setattr(OpenFile, "open_now", fail)
    with pytest.raises(Exhausted) as caught:
        answer(file)
    assert caught.value.status == 503
    assert str(file) not in caught.value.detail

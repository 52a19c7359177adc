"""What gunicorn and uWSGI are lent to send a file themselves: exactly its bytes, and no more than they can."""

import os
import socket
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from gunicorn.http.wsgi import FileWrapper

from mediastream import homeloop, streams
from mediastream.chunking import MOST
from mediastream.errors import StreamCut
from mediastream.wsgi_servers import PAGE_PATIENCE, FileSpan
from tests.core.test_wsgi import Call
from tests.exhaustion import open_descriptors
from tests.media import Clips
from tests.media_library.conftest import CONTENT, make_clip, make_media

pytestmark = pytest.mark.django_db


@pytest.fixture
def gunicorn() -> Iterator[dict[str, Any]]:
    """What its environ has beyond any server's."""
    near, far = socket.socketpair()
    with near, far:
        yield {"gunicorn.socket": near, "wsgi.file_wrapper": FileWrapper}


@pytest.fixture
def uwsgi() -> dict[str, Any]:
    return {"uwsgi.version": b"2.0.30", "wsgi.file_wrapper": lambda filelike, size: filelike}


def of_a_file(environ: dict[str, Any], content: bytes = CONTENT, **further: str) -> Call:
    call = Call(f"/media/{make_media(content).pk}/file", **environ, **further)
    assert call.status in (200, 206)
    return call


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [(None, CONTENT), ("bytes=0-", CONTENT), ("bytes=5-9", CONTENT[5:10]), ("bytes=-3", CONTENT[-3:])],
)
def test_gunicorn_gets_a_file_that_stands_at_the_range(
    gunicorn: dict[str, Any], wanted: str | None, expected: bytes
) -> None:
    call = of_a_file(gunicorn, **({"HTTP_RANGE": wanted} if wanted else {}))
    assert isinstance(call.result, FileWrapper)
    start = os.lseek(call.result.filelike.fileno(), 0, os.SEEK_CUR)
    assert CONTENT[start : start + int(call.headers["Content-Length"])] == expected
    assert call.result.blksize == MOST
    assert call.read() == expected  # as over TLS, where it cannot use sendfile


def test_uwsgi_gets_whole_files_alone(uwsgi: dict[str, Any]) -> None:
    assert isinstance(of_a_file(uwsgi).result, FileSpan)
    assert isinstance(of_a_file(uwsgi, HTTP_RANGE="bytes=0-").result, FileSpan)
    part = of_a_file(uwsgi, HTTP_RANGE="bytes=0-9")
    assert not isinstance(part.result, FileSpan)
    assert part.read() == CONTENT[:10]


def test_another_server_gets_an_iterator() -> None:
    """wsgiref's wrapper would send to the end of the file whatever the range."""
    call = of_a_file({"wsgi.file_wrapper": FileWrapper}, HTTP_RANGE="bytes=1-2")
    assert not isinstance(call.result, FileWrapper)
    assert call.read() == CONTENT[1:3]


def test_several_ranges_have_framing_between_them(gunicorn: dict[str, Any]) -> None:
    call = of_a_file(gunicorn, HTTP_RANGE="bytes=0-1,7-8")
    assert not isinstance(call.result, FileWrapper)
    assert len(call.read()) == int(call.headers["Content-Length"])


def test_an_empty_file(gunicorn: dict[str, Any], uwsgi: dict[str, Any]) -> None:
    for environ in (gunicorn, uwsgi):
        assert of_a_file(environ, b"").read() == b""


def test_closing_closes_the_file(gunicorn: dict[str, Any]) -> None:
    of_a_file(gunicorn).close()
    before = open_descriptors()
    call = of_a_file(gunicorn)
    assert open_descriptors() == before + 1
    call.close()
    call.close()
    assert open_descriptors() == before


def test_a_file_that_has_become_shorter_ends_the_connection(gunicorn: dict[str, Any]) -> None:
    """gunicorn has sent what there was, and takes an exception for what it is: no keep-alive after it."""
    media = make_media()
    call = Call(f"/media/{media.pk}/file", **gunicorn)
    before = open_descriptors()
    os.truncate(media.path, 100)
    with pytest.raises(StreamCut, match="ends at byte 100"):
        call.close()
    assert open_descriptors() == before - 1


@pytest.mark.parametrize(("path", "patience"), [("file", 3600.0), ("stream.mp4", 60.0), (None, PAGE_PATIENCE)])
def test_gunicorns_socket_gets_a_deadline(
    clips: Clips, gunicorn: dict[str, Any], path: str | None, patience: float
) -> None:
    call = Call(f"/media/{make_clip(clips, 'silent.mp4').pk}/{path}" if path else "/healthz/live", **gunicorn)
    assert call.status == 200
    assert gunicorn["gunicorn.socket"].gettimeout() == patience
    call.close()


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing but what the test opens."""
    monkeypatch.setattr(streams, "_open", set())
    monkeypatch.setattr(streams, "_totals", {})


async def _revoke() -> None:
    for stream in list(streams.open_streams()):
        stream.revoke()


@pytest.mark.usefixtures("listed")
def test_a_file_the_server_sends_is_one_of_the_open_streams(gunicorn: dict[str, Any], uwsgi: dict[str, Any]) -> None:
    call = of_a_file(gunicorn, HTTP_RANGE="bytes=10-99")
    (stream,) = streams.open_streams()
    assert stream.label.kind == "file"
    os.lseek(call.result.filelike.fileno(), 30, os.SEEK_SET)  # type: ignore[attr-defined]  # as after sendfile
    call.close()
    of_a_file(gunicorn, HTTP_RANGE="bytes=10-99").read()
    of_a_file(uwsgi).close()
    assert not streams.open_streams()
    totals = streams.totals()["file"]
    assert dict(totals.ended) == {"left": 1, "complete": 2}
    assert totals.bytes == 20 + 90 + len(CONTENT)


@pytest.mark.usefixtures("listed")
@pytest.mark.parametrize("wanted", ["bytes=0-", "bytes=0-1,7-8"])
def test_a_right_that_goes_ends_gunicorns_connection(gunicorn: dict[str, Any], wanted: str) -> None:
    """Its thread sends, or waits for a viewer who has paused: nobody asks the application meanwhile."""
    call = of_a_file(gunicorn, HTTP_RANGE=wanted)
    pieces = iter(call.result)
    next(pieces)
    homeloop.call(_revoke(), 10)
    with pytest.raises(BrokenPipeError):
        gunicorn["gunicorn.socket"].sendall(b"x")
    call.close()
    assert dict(streams.totals()["file"].ended) == {"revoked": 1}


@pytest.mark.usefixtures("listed")
def test_uwsgi_lends_a_copy_of_its_socket(
    gunicorn: dict[str, Any], uwsgi: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    near = gunicorn["gunicorn.socket"]
    monkeypatch.setitem(sys.modules, "uwsgi", SimpleNamespace(connection_fd=near.fileno))
    of_a_file(uwsgi).close()
    before = open_descriptors()
    call = of_a_file(uwsgi)
    homeloop.call(_revoke(), 10)
    with pytest.raises(BrokenPipeError):
        near.sendall(b"x")
    call.close()
    assert open_descriptors() == before
    assert near.fileno() >= 0

"""The same surface without an event loop: what a threaded server calls, with a bare environ."""

import io
from collections.abc import Iterable
from typing import Any
from wsgiref.util import setup_testing_defaults

import pytest
from django.conf import settings

from mediastream import homeloop
from mediastream.live import registry
from mediastream.live.models import Camera
from mediastream.wsgi import application
from tests.exhaustion import open_descriptors
from tests.media import Clips
from tests.media_library.conftest import (
    CONTENT,
    child_pids,
    client_of,
    collect_static,
    make_clip,
    make_media,
    make_visitor,
    stored_files,
)
from transcode import registry as transcodes

pytestmark = pytest.mark.django_db
MIB = 1024 * 1024
ADD = "/admin/media_library/media/add/"


@pytest.fixture(autouse=True)
def static_files() -> None:
    collect_static()


class Call:
    """One call of the application, as a server makes it."""

    def __init__(self, path: str, method: str = "GET", body: bytes = b"", **environ: Any) -> None:
        defaults: dict[str, Any] = {"PATH_INFO": path, "REQUEST_METHOD": method, "wsgi.input": io.BytesIO(body)}
        if body:
            defaults["CONTENT_LENGTH"] = str(len(body))
        defaults |= environ
        setup_testing_defaults(defaults)
        self.status = 0
        self.headers: dict[str, str] = {}
        self.result: Iterable[bytes] = application(defaults, self.start)

    def start(self, status: str, headers: list[tuple[str, str]], *_: object) -> None:
        self.status = int(status.split()[0])
        self.headers = dict(headers)

    def read(self) -> bytes:
        body = b"".join(self.result)
        self.close()
        return body

    def close(self) -> None:
        close = getattr(self.result, "close", None)
        if close is not None:
            close()


@pytest.mark.parametrize(("wanted", "status", "content"), [(None, 200, CONTENT), ("bytes=5-9", 206, CONTENT[5:10])])
def test_a_file_streams(wanted: str | None, status: int, content: bytes) -> None:
    call = Call(f"/media/{make_media().pk}/file", **({"HTTP_RANGE": wanted} if wanted else {}))
    assert call.status == status
    assert call.headers["Content-Length"] == str(len(content))
    assert call.read() == content


def test_closing_half_way_closes_the_file() -> None:
    media = make_media(bytes(MIB))
    Call(f"/media/{media.pk}/file").close()
    before = open_descriptors()
    call = Call(f"/media/{media.pk}/file")
    chunks = iter(call.result)
    assert len(next(chunks)) > 0
    assert open_descriptors() == before + 1
    call.close()
    assert open_descriptors() == before


def test_head(clips: Clips) -> None:
    media = make_clip(clips, "silent.mp4")
    before = child_pids()
    for name in ("file", "stream.mp4"):
        call = Call(f"/media/{media.pk}/{name}", "HEAD")
        assert (call.status, call.read()) == (200, b"")
    assert child_pids() <= before


def test_a_page() -> None:
    call = Call("/")
    assert call.status == 200
    assert b"<!doctype html>" in call.read()


@pytest.mark.parametrize("path", ["/", "/nowhere", "/accounts/login/", "/media/x/file"])
def test_a_large_body_is_refused_unread(path: str) -> None:
    call = Call(path, "POST", CONTENT_LENGTH=str(100 * MIB))
    assert call.status == 413
    assert b'"too_large"' in call.read()
    assert call.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    "environ",
    [
        {"HTTP_TRANSFER_ENCODING": "chunked"},
        {"CONTENT_LENGTH": "x"},
        {"CONTENT_LENGTH": "-1"},
        {"CONTENT_LENGTH": "+5"},
        {"CONTENT_LENGTH": "1" * 30},
    ],
)
def test_a_body_whose_length_is_not_told_is_refused(environ: dict[str, str]) -> None:
    call = Call("/accounts/login/", "POST", **environ)
    assert call.status == 400
    assert b'"bad_input"' in call.read()


def test_a_person_gets_a_page() -> None:
    call = Call("/", "POST", CONTENT_LENGTH=str(100 * MIB), HTTP_ACCEPT="text/html")
    assert call.status == 413
    assert b"<!doctype html>" in call.read()


@pytest.mark.parametrize(
    ("visitor", "status"), [("anonymous", 401), ("inactive", 401), ("member", 401), ("staff", 401), ("superuser", 413)]
)
def test_only_who_may_upload_may_send_much(visitor: str, status: int) -> None:
    """Decided by the session, before a byte is read; the administrator's 20 GB are over the bound for all."""
    client = client_of(make_visitor(visitor))
    cookie = "; ".join(f"{name}={morsel.value}" for name, morsel in client.cookies.items())
    size = 20 * 1024**3 if visitor == "superuser" else 2 * MIB
    call = Call(ADD, "POST", CONTENT_LENGTH=str(size), HTTP_COOKIE=cookie)
    assert call.status == status
    call.read()


def test_an_upload_that_is_refused_leaves_nothing() -> None:
    before = stored_files()
    call = Call(ADD, "POST", bytes(2 * MIB))
    assert call.status == 401
    call.read()
    assert stored_files() == before


def test_a_small_form_reaches_its_view() -> None:
    call = Call("/accounts/login/", "POST", b"username=x", CONTENT_TYPE="application/x-www-form-urlencoded")
    assert call.status == 403  # its CSRF token is missing: Django has read the form
    call.read()


def test_a_transcode_ends_with_its_viewer(clips: Clips) -> None:
    media = make_clip(clips, "h264.mp4")
    before = child_pids()
    call = Call(f"/media/{media.pk}/stream.mp4", QUERY_STRING="profile=360p")
    chunks = iter(call.result)
    assert next(chunks)[4:8] == b"ftyp"
    assert transcodes.running() == 1
    call.close()
    assert transcodes.running() == 0
    assert child_pids() <= before


def test_a_camera_streams_until_its_viewer_leaves() -> None:
    Camera.objects.create(slug="yard", name="Yard", source="test-pattern", visibility="public")
    call = Call("/live/yard/mjpeg")
    try:
        assert call.status == 200
        assert call.headers["Content-Type"] == "multipart/x-mixed-replace; boundary=frame"
        parts = iter(call.result)
        for part in (next(parts) for _ in range(3)):
            assert b"Content-Type: image/jpeg\r\n" in part
            assert part.endswith(b"\r\n--frame\r\n")
        camera = registry._cameras["yard"]
        assert camera.viewers == 1
        call.close()
        assert camera.viewers == 0
    finally:
        call.close()
        homeloop.call(registry.close_all(), 10)


def test_an_error_in_a_view_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> None:
        raise RuntimeError("a detail for the log alone")

    monkeypatch.setattr("mediastream.health._answer", fail)
    call = Call("/healthz/live")
    assert call.status == 500
    body = call.read()
    assert b"Traceback" not in body
    assert b"a detail" not in body


def test_it_is_the_application_the_settings_name() -> None:
    assert settings.WSGI_APPLICATION == "mediastream.wsgi.application"

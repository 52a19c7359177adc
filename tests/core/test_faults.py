"""Every error is a page for a person and a short JSON body for a script, and never a traceback."""

import asyncio
import errno
import json
import sqlite3
import uuid
from typing import Any

import pytest
from django.contrib.sessions.middleware import SessionMiddleware
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.db import OperationalError
from django.http import HttpResponse
from django.test import AsyncClient, Client

from media_library import views
from mediastream import errors, health, staticfiles
from mediastream.errors import Fault
from mediastream.faults import fault_response
from mediastream.handler import MediaHandler
from mediastream.live.models import Camera
from tests.media_library.conftest import collect_static, make_media

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
SECRET = "a detail for the log alone"


@pytest.fixture(autouse=True)
def static_files() -> None:
    collect_static()


def check(response: HttpResponse, accept: str, status: int) -> str:
    """The sentence in a fault's answer, whose form is checked."""
    assert response.status_code == status
    assert response["Cache-Control"] == "no-store"
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Content-Length"] == str(len(response.content))
    content = response.content.decode()
    assert "Traceback" not in content
    if "text/html" in accept:
        assert response["Content-Type"].startswith("text/html")
        assert f'<p class="status">{status}</p>' in content
        return content
    assert response["Content-Type"] == "application/json"
    said = json.loads(content)
    assert set(said) == {"error", "detail"}
    return str(said["detail"])


FAULTS: list[tuple[Fault, int, str, dict[str, str]]] = [
    (errors.BadInput("x."), 400, "bad_input", {}),
    (errors.SignInNeeded(), 401, "sign_in_needed", {"WWW-Authenticate": ""}),
    (errors.NoRight(), 403, "no_right", {}),
    (errors.Unknown("x."), 404, "unknown", {}),
    (errors.MethodNotAllowed(("GET", "HEAD")), 405, "method_not_allowed", {"Allow": "GET, HEAD"}),
    (errors.RequestStalled("x."), 408, "request_timeout", {}),
    (errors.NotReady("x."), 409, "not_ready", {}),
    (errors.PreconditionFailed(), 412, "precondition_failed", {}),
    (errors.BodyTooLarge("x."), 413, "too_large", {}),
    (errors.NotMedia("x."), 415, "not_media", {}),
    (errors.RangeNotSatisfiable(7), 416, "range_not_satisfiable", {"Content-Range": "bytes */7"}),
    (errors.Busy("x.", 5), 503, "busy", {"Retry-After": "5"}),
    (errors.TooMany("x.", 5), 429, "too_many", {"Retry-After": "5"}),
    (errors.Exhausted("x."), 503, "busy", {"Retry-After": "5"}),
    (errors.SourceFailed("x.", 5), 503, "source_failed", {"Retry-After": "5"}),
    (errors.EncoderFailed("x.", 5), 503, "encoder_failed", {"Retry-After": "5"}),
    (errors.DiskFull("x."), 507, "disk_full", {}),
    (errors.TranscodeFailed("x."), 500, "transcode_failed", {}),
    (Fault("x."), 500, "internal", {}),
]


@pytest.mark.parametrize("accept", ["", "*/*", "application/json", "video/mp4", "image/avif,*/*", BROWSER])
@pytest.mark.parametrize(("fault", "status", "word", "headers"), FAULTS, ids=[row[2] for row in FAULTS])
def test_each_fault_has_one_answer(fault: Fault, status: int, word: str, headers: dict[str, str], accept: str) -> None:
    response = fault_response(fault, accept)
    assert check(response, accept, status).strip()
    for name, value in headers.items():
        assert value in response[name]
    if "html" not in accept:
        assert json.loads(response.content)["error"] == word


def test_every_fault_is_in_the_table() -> None:
    known = {fault for fault in vars(errors).values() if isinstance(fault, type) and issubclass(fault, Fault)}
    assert known == {type(row[0]) for row in FAULTS}


def test_a_detail_is_text() -> None:
    page = fault_response(errors.Unknown("<script>alert(1)</script>"), BROWSER).content
    assert b"<script>alert" not in page


@pytest.mark.django_db
@pytest.mark.parametrize("accept", ["*/*", BROWSER])
@pytest.mark.parametrize(
    "path",
    [
        "/nowhere",
        "/media/",
        "/media/not-a-uuid/file",
        "/media/12345678-1234-1234-1234-12345678901/file",
        "/watch/not-a-uuid/",
        "/live/no%20slug/",
        "/live/none/",
        f"/media/{uuid.UUID(int=0)}/file",
        "/static/nothing.css",
        "/%00",
        "/media/../../etc/passwd",
        "/feeds/market/no-such",
    ],
)
def test_an_unknown_address(client: Client, path: str, accept: str) -> None:
    check(client.get(path, headers={"accept": accept}), accept, 404)


ITEM = ["/watch/{id}/", "/media/{id}/file", "/media/{id}/poster.jpg", "/media/{id}/stream.mp4"]
LIVE = ["/live/", "/live/yard/", "/live/yard/mjpeg", "/live/yard/snapshot.jpg", "/live/yard/stream.mp4"]
PATHS = ["/", *ITEM, *LIVE, "/healthz/live", "/healthz/ready", "/static/x.css"]


@pytest.mark.django_db
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
@pytest.mark.parametrize("path", PATHS)
def test_other_methods_are_405_with_allow(path: str, method: str) -> None:
    """Not 403: Django asks for a CSRF token before it asks the view."""
    Camera.objects.create(slug="yard", name="Yard", source="test-pattern", visibility="public")
    path = path.format(id=make_media().pk)
    response = Client(enforce_csrf_checks=True).generic(method, path, b"x=1", "application/x-www-form-urlencoded")
    assert "GET, HEAD" in check(response, "", 405)
    assert response["Allow"] == "GET, HEAD"


@pytest.mark.django_db
@pytest.mark.parametrize("accept", ["*/*", BROWSER])
@pytest.mark.parametrize("path", ["/accounts/login/", "/accounts/logout/", "/admin/login/"])
def test_a_form_without_its_token(path: str, accept: str) -> None:
    client = Client(enforce_csrf_checks=True)
    said = check(client.post(path, {"username": "x"}, headers={"accept": accept}), accept, 403)
    assert "reload the page and try again." in said


@pytest.mark.django_db
@pytest.mark.parametrize("accept", ["*/*", BROWSER])
@pytest.mark.parametrize(
    ("raised", "status"),
    [
        (RuntimeError(SECRET), 500),
        (SuspiciousOperation(SECRET), 400),
        (PermissionDenied(SECRET), 403),
        (errors.Busy("Later.", 5), 503),
    ],
)
def test_what_a_view_raises(
    client: Client, monkeypatch: pytest.MonkeyPatch, raised: Exception, status: int, accept: str
) -> None:
    def fail(*args: object) -> None:
        raise raised

    client.raise_request_exception = False
    monkeypatch.setattr(health, "_answer", fail)
    said = check(client.get("/healthz/live", headers={"accept": accept}), accept, status)
    assert SECRET not in said


@pytest.mark.django_db
async def test_what_a_view_raises_on_a_native_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> None:
        raise RuntimeError(SECRET)

    monkeypatch.setattr(health, "_answer", fail)
    client = AsyncClient(raise_request_exception=False)
    assert SECRET not in check(await client.get("/healthz/live"), "", 500)


@pytest.mark.django_db
def test_a_host_that_is_not_ours(client: Client) -> None:
    check(client.get("/", headers={"host": "evil.example"}), "", 400)


@pytest.mark.django_db
def test_an_answer_to_head_has_the_headers_alone(client: Client) -> None:
    response = client.head("/nowhere")
    assert (response.status_code, response.content) == (404, b"")
    assert int(response["Content-Length"]) > 0


def sqlite_failure(code: int) -> Exception:
    failure = sqlite3.OperationalError("unable to open database file")
    failure.sqlite_errorcode = code
    try:
        raise OperationalError("unable to open database file") from failure
    except OperationalError as error:
        return error


def in_the_middle_of(error: Exception) -> Exception:
    """As a library's own error looks, raised because of another."""
    try:
        try:
            raise error
        except Exception as cause:
            raise KeyError("static") from cause
    except KeyError as raised:
        return raised


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (OSError(errno.EMFILE, "Too many open files"), 503),
        (OSError(errno.ENFILE, "Too many open files in system"), 503),
        (OSError(errno.ENOSPC, "No space left on device"), 507),
        (sqlite_failure(sqlite3.SQLITE_CANTOPEN), 503),
        (sqlite_failure(sqlite3.SQLITE_CORRUPT), 500),
        (in_the_middle_of(OSError(errno.EMFILE, "Too many open files")), 503),
        (OSError(errno.EIO, "Input/output error"), 500),
    ],
)
@pytest.mark.parametrize("address", ["/", "/static/nothing.css"])
def test_what_the_system_refuses_for_now_is_no_fault_of_ours(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception, status: int, address: str
) -> None:
    """Raised by a view, behind the whole chain of middleware; 500 stays 500."""

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(views, "_page_start", fail)
    monkeypatch.setattr(staticfiles, "known_names", fail)
    response = Client(raise_request_exception=False).get(address)
    check(response, "", status)
    assert response.get("Retry-After") == ("5" if status == 503 else None)
    assert ("Traceback" in caplog.text) == (status == 500)


@pytest.mark.parametrize("address", ["/", "/static/nothing.css"])
async def test_what_the_system_refuses_is_no_fault_of_ours_on_either_road(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(views, "_page_start", fail)
    monkeypatch.setattr(staticfiles, "known_names", fail)
    answers: list[dict[str, Any]] = []
    scope = {
        "type": "http", "http_version": "1.1", "method": "GET", "path": address, "root_path": "", "query_string": b"",
        "scheme": "http", "headers": [(b"host", b"localhost")], "client": ("127.0.0.1", 1), "server": ("localhost", 80),
    }  # fmt: skip
    asked = iter([{"type": "http.request", "body": b"", "more_body": False}])

    async def receive() -> Any:
        return next(asked, None) or await asyncio.Event().wait()

    async def send(message: Any) -> None:
        answers.append(message)

    await MediaHandler()(scope, receive, send)
    assert answers[0]["status"] == 503
    assert (b"Retry-After", b"5") in answers[0]["headers"]


def test_a_middleware_that_the_system_refuses_is_no_fault_of_ours_either(monkeypatch: pytest.MonkeyPatch) -> None:
    """No other middleware is asked for an answer to what one of them raises, only the handler of 500."""

    def fail(*_: object) -> None:
        raise sqlite_failure(sqlite3.SQLITE_CANTOPEN)

    monkeypatch.setattr(SessionMiddleware, "process_request", fail)
    response = Client(raise_request_exception=False).get("/")
    check(response, "", 503)

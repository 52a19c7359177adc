"""What is left to a proxy (MEDIASTREAM_SENDFILE), and what is not: only what every proxy answers as we do."""

from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.http import HttpResponseBase
from django.test import RequestFactory

from mediastream import homeloop
from mediastream.environment import Sendfile
from mediastream.errors import Fault, PreconditionFailed, RangeNotSatisfiable
from mediastream.responses import StreamResponse, file_response
from mediastream.streams import Label
from tests.exhaustion import open_descriptors

# Closing a response ends its request, of which Django tells its database connections.
pytestmark = pytest.mark.django_db

PROXY, STRANGER = "10.1.2.3", "192.0.2.1"
ACCEL = Sendfile("X-Accel-Redirect", "/_stored/")
WHOLE_PATH = Sendfile("X-Sendfile", None)


@pytest.fixture(autouse=True)
def behind_a_proxy(settings: Any, tmp_path: Path) -> None:
    settings.SENDFILE = ACCEL
    settings.TRUSTED_PROXIES = ["10.0.0.0/8"]
    settings.MEDIA_ROOT = tmp_path / "media"


@pytest.fixture
def file() -> Path:
    path = Path(settings.MEDIA_ROOT) / "ab" / "film.mp4"
    path.parent.mkdir(parents=True)
    path.write_bytes(bytes(1000))
    return path


def answer(path: Path, method: str = "GET", peer: str = PROXY, **headers: str) -> HttpResponseBase:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = RequestFactory(REMOTE_ADDR=peer).generic(method, "/", headers=named)
    work = file_response(
        request,
        path,
        identity="x",
        content_type="video/mp4",
        label=Label("file", "x"),
        cache_control="private, no-cache",
        filename="Ünï.mp4",
        download=True,
    )
    return homeloop.call(work, 10)


def is_named(response: HttpResponseBase) -> bool:
    return any(header in response for header in ("X-Accel-Redirect", "X-Sendfile"))


def test_the_file_is_named_and_nothing_is_sent(file: Path) -> None:
    homeloop.home()  # which has some of its own
    before = open_descriptors()
    response = answer(file)
    assert open_descriptors() == before
    assert response["X-Accel-Redirect"] == "/_stored/ab/film.mp4"
    assert b"".join(response) == b""  # type: ignore[arg-type]
    assert (response.status_code, response["Content-Length"]) == (200, "0")


def test_the_headers_are_those_of_the_bytes(file: Path) -> None:
    named, sent = answer(file), answer(file, peer=STRANGER)
    of_the_body = {"Content-Length", "Accept-Ranges"}
    expected = {name: value for name, value in sent.items() if name not in of_the_body}
    assert dict(named.items()) == expected | {"Content-Length": "0", "X-Accel-Redirect": "/_stored/ab/film.mp4"}
    assert expected["Cache-Control"] == "private, no-cache"
    assert expected.keys() >= {"ETag", "Last-Modified", "Content-Disposition", "X-Content-Type-Options"}
    sent.close()


@pytest.mark.parametrize("wanted", ["bytes=0-0", "bytes=0-", "bytes=-1", "bytes=5-99999"])
def test_one_range_is_left_to_the_proxy_to_cut(file: Path, wanted: str) -> None:
    """The status is of the answer to the proxy; Apache would pass a 206 on, with its own 206 inside."""
    response = answer(file, Range=wanted)
    assert is_named(response)
    assert response.status_code == 200
    assert "Content-Range" not in response
    assert response["Content-Type"] == "video/mp4"
    assert response["Accept-Ranges"] == "bytes"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Range": "bytes=0-1,5-6"}, 206),
        ({"Range": "BYTES=0-1"}, 206),
        ({"Range": "bytes= 0-1"}, 206),
        ({"Range": "lines=0-1"}, 200),
        ({"Range": "bytes=5-2"}, 200),
        ({"Range": "bytes=0-0", "If_Range": '"another"'}, 200),
        ({"If_Match": "*"}, 200),
        ({"If_Match": "*", "Range": "bytes=0-0"}, 206),
    ],
)
def test_what_proxies_read_otherwise_we_send_ourselves(file: Path, headers: dict[str, str], status: int) -> None:
    response = answer(file, **headers)
    assert isinstance(response, StreamResponse)
    assert (response.status_code, is_named(response)) == (status, False)
    response.close()


def test_an_if_range_is_left_to_the_proxy_by_etag_alone(file: Path) -> None:
    validators = answer(file, "HEAD")
    assert is_named(answer(file, Range="bytes=0-0", If_Range=validators["ETag"]))
    sent = answer(file, Range="bytes=0-0", If_Range=validators["Last-Modified"])
    assert (sent.status_code, is_named(sent)) == (206, False)
    sent.close()


@pytest.mark.parametrize(("method", "headers"), [("HEAD", {}), ("GET", {"If_None_Match": "*"})])
def test_what_has_no_body_is_answered_here(file: Path, method: str, headers: dict[str, str]) -> None:
    response = answer(file, method, **headers)
    assert not is_named(response)
    assert response.get("Content-Length") == (None if response.status_code == 304 else "1000")


@pytest.mark.parametrize(
    ("headers", "fault"),
    [({"Range": "bytes=1000-"}, RangeNotSatisfiable), ({"If_Match": '"other"'}, PreconditionFailed)],
)
def test_a_refusal_is_ours(file: Path, headers: dict[str, str], fault: type[Fault]) -> None:
    with pytest.raises(fault):
        answer(file, **headers)


@pytest.mark.parametrize(
    ("proxies", "peer", "named"),
    [
        (["10.0.0.0/8"], "10.255.0.1", True),
        (["10.0.0.0/8"], "11.0.0.1", False),
        (["fd00::/8", "192.0.2.9"], "fd00::7", True),
        (["fd00::/8", "192.0.2.9"], "192.0.2.9", True),
        (["fd00::/8"], "192.0.2.9", False),
        (["*"], "203.0.113.1", True),
        (["*"], "", True),
        (["10.0.0.0/8"], "", False),
    ],
)
def test_only_a_trusted_proxy_is_told(file: Path, settings: Any, proxies: list[str], peer: str, named: bool) -> None:
    """Whoever reaches the server past the proxy would get an empty file for the header it does not read."""
    settings.TRUSTED_PROXIES = proxies
    response = answer(file, peer=peer)
    assert is_named(response) is named
    response.close()


def test_without_the_setting_we_send(file: Path, settings: Any) -> None:
    settings.SENDFILE = None
    response = answer(file)
    assert isinstance(response, StreamResponse)
    response.close()


def test_a_file_outside_the_media_folder_is_sent_here(tmp_path: Path) -> None:
    """Static files: the proxy is given one folder, not the secret key's and the database's."""
    path = tmp_path / "style.css"
    path.write_bytes(b"x")
    response = answer(path)
    assert isinstance(response, StreamResponse)
    response.close()


def test_names_are_percent_encoded(settings: Any, tmp_path: Path) -> None:
    settings.MEDIA_ROOT = tmp_path / "médias %"
    path = settings.MEDIA_ROOT / "a b?#.mp4"
    path.parent.mkdir()
    path.write_bytes(b"x")
    assert answer(path)["X-Accel-Redirect"] == "/_stored/a%20b%3F%23.mp4"
    settings.SENDFILE = WHOLE_PATH
    assert answer(path)["X-Sendfile"] == f"{tmp_path}/m%C3%A9dias%20%25/a%20b%3F%23.mp4"

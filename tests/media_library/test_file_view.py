"""An item's bytes by RFC 9110, through Django's synchronous and asynchronous client alike.

The two clients stand for the two kinds of server: the one pulls a body by `__iter__`, the other by `__aiter__`.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.http import HttpResponseBase
from django.test import AsyncClient, Client

from media_library.models import Media
from mediastream.errors import StreamCut
from mediastream.http.conditional import format_date
from tests import ranges
from tests.exhaustion import open_descriptors
from tests.media_library.conftest import client_of, make_media, make_visitor
from tests.ranges import CONTENT, SIZE

pytestmark = pytest.mark.django_db
GIB = 1024**3


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Any
    body: bytes


Fetch = Callable[..., Answer]


def by_sync(path: str, method: str = "GET", **headers: str) -> Answer:
    response = Client().generic(method, path, headers=named(headers))
    body = b"".join(response)
    response.close()
    return Answer(response.status_code, response.headers, body)


@async_to_sync(force_new_loop=True)  # else it may be the home loop, on which nothing may wait for it
async def by_async(path: str, method: str = "GET", **headers: str) -> Answer:
    response = await AsyncClient().generic(method, path, headers=named(headers))
    body = b"".join([chunk async for chunk in response]) if is_async(response) else b"".join(response)
    response.close()
    return Answer(response.status_code, response.headers, body)


def is_async(response: HttpResponseBase) -> bool:
    return getattr(response, "is_async", False)


def named(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


@pytest.fixture(params=[by_sync, by_async], ids=["sync", "async"])
def fetch(request: pytest.FixtureRequest) -> Fetch:
    return request.param


@pytest.fixture
def media() -> Media:
    return make_media()


def address(media: Media) -> str:
    return f"/media/{media.pk}/file"


def test_the_whole(fetch: Fetch, media: Media) -> None:
    answer = fetch(address(media))
    assert answer.status == 200
    assert answer.body == CONTENT
    assert answer.headers["Content-Length"] == str(SIZE)
    assert answer.headers["Content-Type"] == "video/mp4"
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "Content-Range" not in answer.headers


@pytest.mark.parametrize(("wanted", "start", "stop"), ranges.ONE)
def test_one_range(fetch: Fetch, media: Media, wanted: str, start: int, stop: int) -> None:
    answer = fetch(address(media), Range=wanted)
    assert answer.status == 206
    assert answer.body == CONTENT[start:stop]
    assert answer.headers["Content-Length"] == str(stop - start)
    assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{SIZE}"


@pytest.mark.parametrize("wanted", ranges.WITHOUT_MEANING)
def test_a_range_without_meaning_is_ignored(fetch: Fetch, media: Media, wanted: str) -> None:
    answer = fetch(address(media), Range=wanted)
    assert (answer.status, answer.body) == (200, CONTENT)


@pytest.mark.parametrize("spans", ranges.SEVERAL)
def test_several_ranges(fetch: Fetch, media: Media, spans: list[tuple[int, int]]) -> None:
    wanted = ", ".join(f"{start}-{stop - 1}" for start, stop in spans)
    answer = fetch(address(media), Range=f"bytes={wanted}")
    assert answer.status == 206
    assert answer.headers["Content-Length"] == str(len(answer.body))
    assert "Content-Range" not in answer.headers
    kind, _, boundary = answer.headers["Content-Type"].partition("; boundary=")
    assert kind == "multipart/byteranges"
    assert ranges.parts(answer.body, boundary.encode()) == [
        (f"bytes {start}-{stop - 1}/{SIZE}", "video/mp4", CONTENT[start:stop]) for start, stop in spans
    ]


def test_ranges_that_cost_more_than_the_whole_get_the_whole(fetch: Fetch, media: Media) -> None:
    answer = fetch(address(media), Range=ranges.COST_MORE_THAN_THE_WHOLE)
    assert (answer.status, answer.body) == (200, CONTENT)


@pytest.mark.parametrize("wanted", ranges.OUTSIDE)
def test_a_range_outside_is_416_with_the_size(fetch: Fetch, media: Media, wanted: str) -> None:
    answer = fetch(address(media), Range=wanted)
    assert answer.status == 416
    assert answer.headers["Content-Range"] == f"bytes */{SIZE}"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Content-Type"] == "application/json"
    assert b"range_not_satisfiable" in answer.body


@pytest.mark.parametrize(("header", "applies"), ranges.IF_RANGE)
def test_if_range(fetch: Fetch, media: Media, header: str, applies: bool) -> None:
    """A weak tag never matches, and a date must be the very one (section 13.1.5)."""
    current = fetch(address(media)).headers
    modified = int(media.path.stat().st_mtime)
    value = header.format(etag=current["ETag"], date=current["Last-Modified"], later=format_date(modified + 60))
    answer = fetch(address(media), Range="bytes=0-9", If_Range=value)
    assert (answer.status, answer.body) == ((206, CONTENT[:10]) if applies else (200, CONTENT))


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(("name", "value", "status"), ranges.PRECONDITIONS)
def test_preconditions(fetch: Fetch, media: Media, method: str, name: str, value: str, status: int) -> None:
    current = fetch(address(media)).headers
    earlier = format_date(int(media.path.stat().st_mtime) - 60)
    value = value.format(etag=current["ETag"], date=current["Last-Modified"], earlier=earlier)
    answer = fetch(address(media), method, **{name: value})
    assert answer.status == status
    if status == 304:
        assert answer.body == b""
        assert answer.headers["ETag"] == current["ETag"]
        assert answer.headers["Cache-Control"] == current["Cache-Control"]
        assert "Content-Type" not in answer.headers
    if status == 412:
        assert answer.headers["Cache-Control"] == "no-store"


def test_head_has_the_headers_of_the_whole(fetch: Fetch, media: Media) -> None:
    whole = fetch(address(media))
    answer = fetch(address(media), "HEAD", Range="bytes=0-9")
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers == whole.headers


@pytest.mark.parametrize(("wanted", "status"), ranges.EMPTY)
def test_an_empty_file(fetch: Fetch, wanted: str | None, status: int) -> None:
    answer = fetch(address(make_media(b"")), **({"Range": wanted} if wanted else {}))
    assert answer.status == status
    if status == 200:
        assert (answer.body, answer.headers["Content-Length"]) == (b"", "0")
    else:
        assert answer.headers["Content-Range"] == "bytes */0"


def test_offsets_past_four_gibibytes(fetch: Fetch, media: Media) -> None:
    """Where 32 bits end. The file has a hole, so it takes no room."""
    os.truncate(media.path, 5 * GIB)
    with media.path.open("r+b") as file:
        file.seek(4 * GIB + 10)
        file.write(b"far")
    start = 4 * GIB + 9
    answer = fetch(address(media), Range=f"bytes={start}-{start + 4}")
    assert (answer.status, answer.body) == (206, b"\0far\0")
    assert answer.headers["Content-Range"] == f"bytes {start}-{start + 4}/{5 * GIB}"
    assert fetch(address(media), Range="bytes=-3").body == b"\0\0\0"
    assert fetch(address(media), "HEAD").headers["Content-Length"] == str(5 * GIB)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_file_that_is_gone_is_404(fetch: Fetch, media: Media, method: str) -> None:
    media.path.unlink()
    answer = fetch(address(media), method)
    assert answer.status == 404
    assert answer.headers["Content-Type"] == "application/json"
    if method == "GET":
        assert b'"unknown"' in answer.body
        assert os.fsencode(media.path) not in answer.body


@pytest.mark.parametrize(
    ("name", "saved_as"),
    [
        ("plain.mp4", "plain.mp4"),
        ('a "quoted" name.mp4', 'a "quoted" name.mp4'),
        ("back\\slash.mp4", "back slash.mp4"),
        ("new\r\nSet-Cookie: x=1.mp4", "newSet-Cookie: x=1.mp4"),
        ("😀 ü.mp4", "😀 ü.mp4"),
        ("x" * 300 + ".mp4", "x" * 300 + ".mp4"),
        ("../../etc/passwd", "etc passwd"),
        ("\u202egp4.exe", "gp4.exe"),
    ],
)
@pytest.mark.parametrize(("query", "kind"), [("", "inline"), ("?download=0", "inline"), ("?download=1", "attachment")])
def test_content_disposition(fetch: Fetch, name: str, saved_as: str, query: str, kind: str) -> None:
    answer = fetch(address(make_media(original_name=name)) + query, "HEAD")
    value = answer.headers["Content-Disposition"]
    assert answer.status == 200
    assert value.isprintable()
    parsed = Message()
    parsed["Content-Disposition"] = value
    assert parsed.get_content_disposition() == kind
    assert parsed.get_filename() == saved_as


@pytest.mark.parametrize(
    ("visibility", "expected"),
    [("public", "public, max-age=300"), ("members", "private, no-cache"), ("private", "private, no-cache")],
)
def test_cache_control_follows_visibility(visibility: str, expected: str) -> None:
    client = client_of(make_visitor("superuser"))
    response = client.head(address(make_media(visibility=visibility)))
    assert response["Cache-Control"] == expected


def test_the_etag_is_strong_and_not_of_the_clock(fetch: Fetch, media: Media) -> None:
    """Two writes within a clock's granularity must not share a tag, nor a copied backup lose it."""
    first = fetch(address(media), "HEAD").headers
    os.utime(media.path, (0, 0))
    second = fetch(address(media), "HEAD").headers
    assert first["ETag"] == second["ETag"]
    assert first["Last-Modified"] != second["Last-Modified"]
    assert first["ETag"].startswith('"')
    assert fetch(address(make_media()), "HEAD").headers["ETag"] != first["ETag"]


def test_the_etag_changes_with_the_size(fetch: Fetch, media: Media) -> None:
    before = fetch(address(media), "HEAD").headers["ETag"]
    os.truncate(media.path, SIZE - 1)
    assert fetch(address(media), "HEAD").headers["ETag"] != before


def test_media_is_never_encoded(fetch: Fetch, media: Media) -> None:
    for further in ({}, {"Range": "bytes=0-999"}):
        answer = fetch(address(media), Accept_Encoding="gzip, br, zstd", **further)
        assert "Content-Encoding" not in answer.headers
        assert answer.headers["Content-Length"] == str(len(answer.body))


@pytest.mark.parametrize("query", ["", "?download=1"])
def test_the_type_is_the_probes_not_the_names(fetch: Fetch, query: str) -> None:
    media = make_media(original_name="page.html", content_type="audio/mpeg")
    assert fetch(address(media) + query, "HEAD").headers["Content-Type"] == "audio/mpeg"


@pytest.mark.parametrize("header", [{}, {"Range": "bytes=1-2"}, {"Range": "bytes=1-2,5-6"}, {"Range": "bytes=9999-"}])
def test_a_response_closed_unread_leaves_no_descriptor(media: Media, header: dict[str, str]) -> None:
    client = Client()

    def ask() -> None:
        client.get(address(media), headers=header).close()

    ask()
    before = open_descriptors()
    for _ in range(50):
        ask()
    assert open_descriptors() == before


def test_a_response_closed_half_way_leaves_no_descriptor(media: Media) -> None:
    os.truncate(media.path, 1024 * 1024)
    client = Client()
    before = open_descriptors()
    response = client.get(address(media))
    chunks = iter(response)
    assert next(chunks)
    assert open_descriptors() == before + 1
    response.close()
    assert open_descriptors() == before


def test_a_file_that_shrinks_cuts_the_stream(media: Media) -> None:
    """Padding, or an end as if all had come, would be a lie."""
    os.truncate(media.path, 1024 * 1024)
    response = Client().get(address(media))
    chunks = iter(response)
    next(chunks)
    os.truncate(media.path, 100_000)
    with pytest.raises(StreamCut, match="before the 1048576"):
        list(chunks)
    response.close()


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_poster_is_served_by_the_same_rules(fetch: Fetch, media: Media, method: str) -> None:
    media.poster.save("poster.jpg", ContentFile(b"\xff\xd8picture"))
    path = f"/media/{media.pk}/poster.jpg"
    answer = fetch(path, method)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "image/jpeg"
    assert answer.headers["Cache-Control"] == "public, max-age=300"
    assert "Content-Disposition" not in answer.headers
    assert fetch(path, Range="bytes=0-1").body == b"\xff\xd8"
    assert fetch(path, method, If_None_Match=answer.headers["ETag"]).status == 304


def test_an_item_without_a_poster(fetch: Fetch, media: Media) -> None:
    assert fetch(f"/media/{media.pk}/poster.jpg").status == 404
    media.poster.name = "posters/gone.jpg"
    media.save()
    assert not default_storage.exists(media.poster.name)
    assert fetch(f"/media/{media.pk}/poster.jpg").status == 404


@pytest.mark.django_db(transaction=True)
async def test_a_native_loop(transactional_db: None) -> None:
    """As under an ASGI server: the row is read in another thread, the body pulled on this loop."""
    media = await sync_to_async(make_media)()
    response = await AsyncClient().get(address(media), headers={"Range": "bytes=100-199"})
    assert response.status_code == 206
    assert b"".join([chunk async for chunk in response]) == CONTENT[100:200]
    response.close()

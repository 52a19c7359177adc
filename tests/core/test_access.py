"""Who may see what: the rule itself, and every address of bytes or a page that must ask it."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.core.files.base import ContentFile
from django.test import AsyncClient, Client
from django.urls import get_resolver

from media_library.models import Media
from mediastream import homeloop
from mediastream.access import Visibility, cache_control, may_see, require, visible_to
from mediastream.errors import NoRight, SignInNeeded
from mediastream.feeds.models import Topic
from mediastream.live import registry, videos
from mediastream.live.models import Camera
from tests import access_table
from tests.access_table import MAY_SEE, MAY_SEE_CAMERA
from tests.core.test_wsgi import Call
from tests.media import Clips
from tests.media_library.conftest import (
    VISITORS,
    child_pids,
    client_of,
    collect_static,
    make_clip,
    make_media,
    make_visitor,
    put_thumbnails,
)

pytestmark = pytest.mark.django_db

CAMERA = {"mjpeg": "/live/yard/mjpeg", "snapshot": "/live/yard/snapshot.jpg", "video": "/live/yard/stream.mp4"}


@pytest.fixture(autouse=True)
def static_files() -> None:
    collect_static()


@pytest.fixture
def cameras_closed() -> Iterator[None]:
    yield
    homeloop.call(registry.close_all(), 10)
    homeloop.call(videos.close_all(), 10)


@pytest.mark.parametrize("visibility", Visibility.values)
@pytest.mark.parametrize("visitor", VISITORS)
def test_the_rule(visitor: str, visibility: str) -> None:
    owner = make_visitor("owner")
    asking = owner if visitor == "owner" else make_visitor(visitor)
    assert may_see(asking, visibility, owner.pk) is (visitor in MAY_SEE[visibility])
    assert may_see(asking, visibility, None) is (visitor in MAY_SEE_CAMERA[visibility])


def test_an_administrator_whose_account_was_closed_is_nobody() -> None:
    visitor = make_visitor("superuser")
    visitor.is_active = False
    visitor.save()
    private = make_media(visibility="private", owner=visitor)
    assert not may_see(visitor, "members", None)
    assert not may_see(visitor, "private", visitor.pk)
    assert private not in Media.objects.filter(visible_to(visitor))


def test_an_item_of_nobody_is_not_the_anonymous_visitors() -> None:
    """Both have None for an id."""
    assert not may_see(AnonymousUser(), "private", None)
    make_media(visibility="private")
    assert not Media.objects.filter(visible_to(AnonymousUser())).exists()


@pytest.mark.parametrize("visitor", VISITORS)
def test_the_rule_for_a_query_is_the_same(visitor: str) -> None:
    people = {kind: make_visitor(kind) for kind in VISITORS if kind != "anonymous"}
    rows = [
        make_media(b"", visibility=visibility, owner=owner)
        for visibility in Visibility.values
        for owner in (None, *people.values())
    ]
    asking = people.get(visitor) or make_visitor("anonymous")
    expected = {row.pk for row in rows if may_see(asking, row.visibility, row.owner_id)}
    assert {row.pk for row in Media.objects.filter(visible_to(asking))} == expected


@pytest.mark.parametrize(
    ("visitor", "fault"), [("anonymous", SignInNeeded), ("inactive", NoRight), ("member", NoRight), ("owner", None)]
)
def test_require_says_whether_signing_in_would_help(visitor: str, fault: type[Exception] | None) -> None:
    owner = make_visitor("owner")
    asking = owner if visitor == "owner" else make_visitor(visitor)
    if fault is None:
        require(asking, "private", owner.pk)
        return
    with pytest.raises(fault):
        require(asking, "private", owner.pk)


def test_only_public_bytes_may_be_kept_by_others() -> None:
    assert cache_control("public", 60) == "public, max-age=60"
    for visibility in ("members", "private"):
        assert cache_control(visibility, 60).startswith("private")


def test_every_address_has_a_row_and_every_row_an_address() -> None:
    assert set(access_table.routes(get_resolver())) == set(access_table.ROWS)


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes


Ask = Callable[[str, str, str], Answer]


def by_client(method: str, path: str, session: str) -> Answer:
    response = client_with(Client(), session).generic(method, path, headers={"Range": "bytes=0-9"})
    body = b"".join(response)
    response.close()
    return Answer(response.status_code, response.headers, body)


@async_to_sync(force_new_loop=True)  # else it may be the home loop, on which nothing may wait for it
async def by_async_client(method: str, path: str, session: str) -> Answer:
    response = await client_with(AsyncClient(), session).generic(method, path, headers={"Range": "bytes=0-9"})
    body = b"".join([piece async for piece in response]) if getattr(response, "is_async", False) else b"".join(response)
    response.close()
    return Answer(response.status_code, response.headers, body)


def by_wsgi(method: str, path: str, session: str) -> Answer:
    call = Call(path, method, HTTP_RANGE="bytes=0-9", **({"HTTP_COOKIE": f"sessionid={session}"} if session else {}))
    return Answer(call.status, call.headers, call.read())


C = TypeVar("C", Client, AsyncClient)


def client_with(client: C, session: str) -> C:
    if session:
        client.cookies["sessionid"] = session
    return client


@pytest.mark.parametrize("role", access_table.ROLES)
@pytest.mark.parametrize("ask", [by_client, by_async_client, by_wsgi])
def test_who_gets_what(ask: Ask, role: str) -> None:
    """What refuses must start nothing, and neither may HEAD; what gives a stream does so in the tests below."""
    people = {kind: make_visitor(kind) for kind in {"owner", role}}
    items, session = {}, session_of(people[role])
    for visibility in access_table.VISIBILITIES:
        items[visibility] = make_media(visibility=visibility, owner=people["owner"])
        items[visibility].poster.save("poster.jpg", ContentFile(b"\xff\xd8"))
        put_thumbnails(items[visibility])
        Camera.objects.create(slug=visibility, name=visibility, source="test-pattern", visibility=visibility)
        Topic.objects.create(name=visibility, visibility=visibility)
    before = child_pids()
    for case in access_table.cases():
        statuses = case.statuses(role)
        if case.endless and case.method == "GET" and 200 in statuses:
            continue
        answer = ask(case.method, case.path(str(items[case.visibility].pk), case.visibility), session)
        assert answer.status in statuses, (case, answer.body[:300])
        if case.kind in ("item", "camera") and not statuses & {200, 206}:
            check_refusal(case.method, answer)
        if "logout" in case.route:
            session = session_of(people[role])
    assert child_pids() <= before


@pytest.mark.parametrize("role", access_table.ROLES)
def test_who_reads_which_topic_of_a_family(role: str) -> None:
    people = {kind: make_visitor(kind) for kind in {"owner", role}}
    client = client_of(people[role])
    for visibility in access_table.VISIBILITIES:
        item = make_media(visibility=visibility, owner=people["owner"])
        camera = Camera.objects.create(slug=visibility, name="x", source="test-pattern", visibility=visibility)
        for topic, may in access_table.topics(str(item.pk), visibility, str(camera.pk)).items():
            refused = 401 if role in access_table.SIGNED_OUT else 403
            assert client.head(f"/feeds/{topic}/events").status_code == (200 if role in may else refused), topic
            assert client.post(f"/feeds/{topic}/publish", headers={"Authorization": "Bearer x"}).status_code == 403
        spelled = (str(item.pk).upper(), f"{{{item.pk}}}", item.pk.hex)
        for topic in [*access_table.NO_TOPICS, *(f"chat.watch.{other}" for other in spelled)]:
            assert client.head(f"/feeds/{topic}/stream").status_code == 404, topic


def session_of(visitor: AbstractBaseUser | AnonymousUser) -> str:
    return client_of(visitor).cookies["sessionid"].value if visitor.is_authenticated else ""


def check_refusal(method: str, answer: Answer) -> None:
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Content-Type"] == "application/json"
    assert "ETag" not in answer.headers
    assert ("WWW-Authenticate" in answer.headers) is (answer.status == 401)
    if method == "GET":
        said = json.loads(answer.body)
        assert said["error"] == {401: "sign_in_needed", 403: "no_right"}[answer.status]
        assert said["detail"].endswith(".")


def test_a_right_leads_to_a_real_stream(clips: Clips) -> None:
    owner = make_visitor("owner")
    media = make_clip(clips, "silent.mp4", visibility="private", owner=owner)
    response = client_of(owner).get(f"/media/{media.pk}/stream.mp4?profile=360p")
    assert response.status_code == 200
    assert next(iter(response))[4:8] == b"ftyp"
    response.close()


@pytest.mark.usefixtures("cameras_closed")
def test_a_right_leads_to_real_pictures() -> None:
    Camera.objects.create(slug="yard", name="Yard", source="test-pattern", visibility="members")
    client = client_of(make_visitor("member"))
    snapshot = client.get(CAMERA["snapshot"])
    assert snapshot.status_code == 200
    assert snapshot.content.startswith(b"\xff\xd8")
    stream = client.get(CAMERA["mjpeg"])
    assert stream.status_code == 200
    assert b"\xff\xd8" in next(iter(stream))
    stream.close()
    stream = client.get(CAMERA["video"])
    assert stream.status_code == 200
    assert next(iter(stream))[4:8] == b"ftyp"
    stream.close()


@pytest.mark.parametrize("visitor", VISITORS)
def test_the_wall_shows_what_the_visitor_may_see(visitor: str) -> None:
    for visibility in Visibility.values:
        Camera.objects.create(slug=visibility, name=visibility, source="test-pattern", visibility=visibility)
    page = client_of(make_visitor(visitor)).get("/live/").content.decode()
    shown = {slug for slug in Visibility.values if f"/live/{slug}/mjpeg" in page}
    assert shown == {slug for slug in Visibility.values if visitor in MAY_SEE_CAMERA[slug]}


def test_an_item_that_is_no_longer_public_is_refused_at_once() -> None:
    media, client = make_media(), Client()
    path = f"/media/{media.pk}/file"
    client.get(path).close()
    media.visibility = "members"
    media.save()
    assert client.get(path).status_code == 401


def test_a_fresh_tag_is_no_ticket() -> None:
    """Access is asked before preconditions: a 304 would tell who knows the tag that it is still the same."""
    media = make_media()
    tag = Client().head(f"/media/{media.pk}/file")["ETag"]
    media.visibility = "private"
    media.save()
    response = Client().get(f"/media/{media.pk}/file", headers={"If-None-Match": tag})
    assert response.status_code == 401

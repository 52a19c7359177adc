"""Who may see what: the rule itself, and every address of bytes or a page that must ask it."""

from collections.abc import Iterator

import pytest
from django.contrib.auth.models import AnonymousUser
from django.core.files.base import ContentFile
from django.test import Client

from media_library.models import Media
from mediastream import homeloop
from mediastream.access import Visibility, cache_control, may_see, require, visible_to
from mediastream.errors import NoRight, SignInNeeded
from mediastream.live import registry
from mediastream.live.models import Camera
from tests.media import Clips
from tests.media_library.conftest import (
    VISITORS,
    child_pids,
    client_of,
    collect_static,
    make_clip,
    make_media,
    make_visitor,
)

pytestmark = pytest.mark.django_db

# Who may see an item that belongs to "owner".
MAY_SEE = {
    "public": set(VISITORS),
    "members": {"member", "owner", "staff", "superuser"},
    "private": {"owner", "superuser"},
}
# A camera belongs to no one: private means administrators.
MAY_SEE_CAMERA = MAY_SEE | {"private": {"superuser"}}
# A session of an account that has been closed is worth no more than none.
SIGNED_OUT = {"anonymous", "inactive"}

ITEM = {
    "file": "/media/{id}/file",
    "poster": "/media/{id}/poster.jpg",
    "stream": "/media/{id}/stream.mp4",
    "watch": "/watch/{id}/",
}
CAMERA = {"mjpeg": "/live/yard/mjpeg", "snapshot": "/live/yard/snapshot.jpg", "camera": "/live/yard/"}
PAGES = {"watch", "camera"}
STARTS_FFMPEG = {"stream", "mjpeg", "snapshot"}


@pytest.fixture(autouse=True)
def static_files() -> None:
    collect_static()


@pytest.fixture
def cameras_closed() -> Iterator[None]:
    yield
    homeloop.call(registry.close_all(), 10)


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


@pytest.mark.parametrize("visitor", VISITORS)
@pytest.mark.parametrize("visibility", Visibility.values)
@pytest.mark.parametrize("name", [*ITEM, *CAMERA])
def test_every_address_asks(name: str, visibility: str, visitor: str) -> None:
    """What refuses must start nothing, and neither may HEAD; what gives a stream does so in the tests below."""
    people = {kind: make_visitor(kind) for kind in {"owner", visitor}}
    client = client_of(people[visitor])
    if name in ITEM:
        media = make_media(visibility=visibility, owner=people["owner"])
        media.poster.save("poster.jpg", ContentFile(b"\xff\xd8"))
        path, allowed = ITEM[name].format(id=media.pk), visitor in MAY_SEE[visibility]
    else:
        Camera.objects.create(slug="yard", name="Yard", source="test-pattern", visibility=visibility)
        path, allowed = CAMERA[name], visitor in MAY_SEE_CAMERA[visibility]
    before = child_pids()
    for method in ("HEAD",) if allowed and name in STARTS_FFMPEG else ("HEAD", "GET"):
        if allowed:
            response = client.generic(method, path)
            assert response.status_code == 200
            response.close()
        else:
            check_refused(client, path, method, visitor, page=name in PAGES)
    assert child_pids() <= before


def check_refused(client: Client, path: str, method: str, visitor: str, *, page: bool) -> None:
    response = client.generic(method, path, headers={"Range": "bytes=0-9"})
    if visitor not in SIGNED_OUT:
        assert response.status_code == 403
    elif page:
        assert response.status_code == 302
        assert response["Location"] == f"/accounts/login/?next={path}"
        return
    else:
        assert response.status_code == 401
        assert response["WWW-Authenticate"].startswith("Cookie ")
    assert response["Cache-Control"] == "no-store"
    assert response["Content-Type"] == "application/json"
    assert "ETag" not in response
    if method == "GET":
        said = response.json()
        assert said["error"] == ("sign_in_needed" if visitor in SIGNED_OUT else "no_right")
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

"""Who comes by what: a session gives a ticket, a ticket spares the session and the database, and both can end."""

import asyncio
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.test import Client, RequestFactory
from pytest_django import DjangoAssertNumQueries

from media_library.items import Item, right_to
from media_library.models import Media
from mediastream import homeloop, rows, tickets
from mediastream.access import TICKET_OVER, Right
from mediastream.live import registry
from mediastream.live.models import Camera
from mediastream.openfile import OpenFile
from mediastream.visitors import visitors
from tests.media import Clips
from tests.media_library.conftest import (
    CONTENT,
    child_pids,
    client_of,
    collect_static,
    make_clip,
    make_media,
    make_visitor,
)
from transcode import registry as transcodes

pytestmark = pytest.mark.django_db(transaction=True)

Act = Callable[[User], object]


@pytest.fixture(autouse=True)
def static_files() -> None:
    collect_static()


@pytest.fixture
def owner() -> User:
    made = make_visitor("owner")
    assert isinstance(made, User)
    return made


@pytest.fixture
def media(owner: User) -> Media:
    return make_media(visibility="private", owner=owner)


def address(media: Media) -> str:
    return f"/media/{media.pk}/file"


def status(client: Client, path: str, **headers: str) -> int:
    response = client.get(path, headers=headers)
    response.close()
    return int(response.status_code)


def given(client: Client, media: Media) -> str:
    """The ticket that a request by session is given."""
    assert status(client, address(media)) == 200
    return client.cookies["ticket"].value


def bearer(ticket: str) -> Client:
    client = Client()
    client.cookies["ticket"] = ticket
    return client


def refused(client: Client, path: str) -> str:
    """The sentence of a 401."""
    response = client.get(path)
    assert response.status_code == 401
    assert response["Cache-Control"] == "no-store"
    assert "WWW-Authenticate" in response
    return str(response.json()["detail"])


def test_the_first_request_is_given_a_ticket_for_this_item_alone(media: Media, owner: User) -> None:
    client = client_of(owner)
    response = client.get(address(media), secure=True)
    cookie = response.cookies["ticket"]
    assert cookie["path"] == f"/media/{media.pk}/"
    assert cookie["httponly"]
    assert cookie["secure"]
    assert cookie["samesite"] == "Lax"
    assert cookie["max-age"] == tickets.LIFE
    response.close()
    other = make_media(visibility="private", owner=owner)
    assert refused(bearer(cookie.value), address(other)) == TICKET_OVER


def test_the_watch_page_gives_one_too(media: Media, owner: User) -> None:
    page = client_of(owner).get(f"/watch/{media.pk}/")
    assert status(bearer(page.cookies["ticket"].value), address(media)) == 200


def test_the_watch_page_has_a_link_for_other_players(media: Media, owner: User) -> None:
    """They have none of the browser's cookies."""
    page = client_of(owner).get(f"/watch/{media.pk}/")
    assert page["Cache-Control"].startswith("private")
    (link,) = re.findall(r'href="([^"]*\?ticket=[^"]*)"', page.content.decode())
    assert link.startswith(address(media))
    assert status(Client(), link) == 200
    sign_out(owner)
    assert status(Client(), link) == 401


def test_a_public_items_page_has_none(media: Media, owner: User) -> None:
    page = client_of(owner).get(f"/watch/{make_media().pk}/")
    assert b"ticket" not in page.content


def test_public_bytes_need_none(media: Media) -> None:
    response = Client().get(address(make_media()))
    assert "ticket" not in response.cookies
    response.close()


@pytest.mark.parametrize("way", ["cookie", "query"])
def test_a_ticket_asks_neither_session_nor_database(
    media: Media, owner: User, way: str, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    ticket = given(client_of(owner), media)
    client, path = (
        (bearer(ticket), address(media)) if way == "cookie" else (Client(), f"{address(media)}?ticket={ticket}")
    )
    with django_assert_num_queries(0):
        response = client.get(path, headers={"Range": "bytes=5-9"})
        assert b"".join(response) == CONTENT[5:10]
        response.close()
    assert "ticket" not in response.cookies


def test_an_expired_ticket_beside_a_session_goes_on_by_it_and_is_replaced(
    media: Media, owner: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = client_of(owner)
    old = given(client, media)
    later = time.time() + tickets.LIFE + 1
    monkeypatch.setattr(tickets.time, "time", lambda: later)
    response = client.get(address(media))
    assert response.status_code == 200
    assert response.cookies["ticket"].value != old
    response.close()
    assert refused(bearer(old), address(media)) == TICKET_OVER


@pytest.mark.parametrize("ticket", ["x", "7:0123456789abcdef:99999999999:" + "0" * 40, "9" * 10_240, "%ff%fe", "%00"])
@pytest.mark.parametrize("way", ["cookie", "query"])
@pytest.mark.parametrize("name", ["file", "poster.jpg", "stream.mp4"])
def test_a_bad_ticket_is_told_so(media: Media, ticket: str, way: str, name: str) -> None:
    path = f"/media/{media.pk}/{name}"
    if way == "cookie":
        assert refused(bearer(ticket), path) == TICKET_OVER
    else:
        assert refused(Client(), f"{path}?ticket={ticket}") == TICKET_OVER


def test_none_at_all_is_told_otherwise(media: Media) -> None:
    assert "ticket" not in refused(Client(), address(media))
    assert "ticket" not in refused(Client(), address(media) + "?ticket=")


def test_a_bad_ticket_in_the_query_leaves_the_good_one_in_the_cookie(media: Media, owner: User) -> None:
    assert status(bearer(given(client_of(owner), media)), address(media) + "?ticket=x") == 200


def test_a_session_that_is_gone(media: Media, owner: User) -> None:
    client = client_of(owner)
    Session.objects.all().delete()
    assert refused(client, address(media)).startswith("Sign in")


def close_account(user: User) -> None:
    user.is_active = False
    user.save()


def change_password(user: User) -> None:
    user.set_password("another")
    user.save()


def sign_out(user: User) -> None:
    client_of(user).post("/accounts/logout/")


def disown(media: Media) -> None:
    media.owner = None
    media.save()


ENDS: list[Act] = [close_account, change_password, sign_out, User.delete]


@pytest.mark.parametrize("end", ENDS)
def test_a_ticket_that_was_revoked(media: Media, owner: User, end: Act) -> None:
    """By whom it was given to: the bearer has no session to fall back on."""
    client = bearer(given(client_of(owner), media))
    assert status(client, address(media)) == 200
    end(owner)
    assert refused(client, address(media)) == TICKET_OVER


def test_other_devices_go_on_by_their_sessions_after_a_sign_out(media: Media, owner: User) -> None:
    other = client_of(owner)
    old = given(other, media)
    sign_out(owner)
    assert given(other, media) != old


def test_signing_in_ends_no_ticket(media: Media, owner: User) -> None:
    """Django saves the time of it with the row."""
    owner.set_password("secret")
    owner.save()
    client = bearer(given(client_of(owner), media))
    page = Client().post("/accounts/login/", {"username": owner.username, "password": "secret"})
    assert page.status_code == 302
    assert status(client, address(media)) == 200


def test_a_ticket_is_no_right(media: Media, owner: User) -> None:
    client = bearer(given(client_of(owner), media))
    disown(media)
    assert status(client, address(media)) == 403


def test_a_ticket_of_somebody_who_may_not_stands_in_nobodys_way(media: Media, owner: User) -> None:
    """Somebody was signed in at this browser before, and their ticket outlives their session here."""
    member = make_visitor("member")
    assert isinstance(member, User)
    version = visitors._load([member.pk])[member.pk].version
    theirs = tickets.issue(member.pk, version, f"/media/{media.pk}/")
    assert status(bearer(theirs), address(media)) == 403
    client = client_of(owner)
    client.cookies["ticket"] = theirs
    response = client.get(address(media))
    assert response.status_code == 200
    assert response.cookies["ticket"].value.startswith(f"{owner.pk}:")
    response.close()


def test_signing_out_with_nobody_signed_in() -> None:
    assert Client().post("/accounts/logout/").status_code == 302


def right(user: User, media: Media) -> "Right[Item]":
    request = RequestFactory().get(address(media))
    client = client_of(user)
    request.COOKIES = {name: morsel.value for name, morsel in client.cookies.items()}
    request.auser = sync_to_async(lambda: user)  # type: ignore[attr-defined]
    return asyncio.run(right_to(request, media.pk))


async def _refresh() -> None:
    for kind in rows.all_rows():
        await kind.refresh()


def holds(of: "Right[Item]") -> bool:
    """As the watch asks, at first and then again after it has asked the database."""
    of.holds()
    asyncio.run(_refresh())
    return of.holds()


def update(**fields: Any) -> Callable[[User, Media], object]:
    """Without a signal."""
    return lambda user, media: Media.objects.filter(pk=media.pk).update(**fields)


def update_user(**fields: Any) -> Callable[[User, Media], object]:
    return lambda user, media: User.objects.filter(pk=user.pk).update(**fields)


@pytest.mark.parametrize(
    ("act", "stands"),
    [
        (lambda user, media: None, True),
        (update(title="Another"), True),
        (update(visibility="public"), True),
        (update(visibility="members"), True),
        (update(owner=None), False),
        (update_user(is_active=False), False),
        (update_user(password="another"), False),
        (update_user(last_login="2026-01-01T00:00Z"), True),
        (lambda user, media: sign_out(user), False),
        (lambda user, media: user.delete(), False),
        (lambda user, media: media.delete(), False),
    ],
    ids=range(11),
)
def test_a_right_holds_as_long_as_its_rows_say_so(
    media: Media, owner: User, act: Callable[[User, Media], object], *, stands: bool
) -> None:
    let_in = right(owner, media)
    assert holds(let_in)
    act(owner, media)
    assert holds(let_in) is stands


def test_an_administrators_right_ends_with_the_office(media: Media) -> None:
    admin = make_visitor("superuser")
    assert isinstance(admin, User)
    let_in = right(admin, media)
    assert holds(let_in)
    User.objects.filter(pk=admin.pk).update(is_superuser=False)
    assert not holds(let_in)


def test_what_was_let_in_as_public_ends_when_it_no_longer_is(owner: User) -> None:
    media = make_media(owner=owner)
    let_in = right(owner, media)
    Media.objects.filter(pk=media.pk).update(visibility="private")
    assert not holds(let_in)


REVOKE: list[tuple[Callable[[User, Media], object], int]] = [
    (lambda user, media: media.delete(), 404),
    (lambda user, media: disown(media), 403),
    (lambda user, media: close_account(user), 401),
    (lambda user, media: sign_out(user), 401),
]


@pytest.fixture
def bearing(media: Media, owner: User) -> Client:
    return bearer(given(client_of(owner), media))


@pytest.mark.parametrize(("act", "refusal"), REVOKE)
def test_a_right_that_ends_while_a_disk_wakes_up(
    bearing: Client,
    media: Media,
    owner: User,
    monkeypatch: pytest.MonkeyPatch,
    act: Callable[[User, Media], object],
    refusal: int,
) -> None:
    opening = OpenFile.open

    async def after(path: Any) -> OpenFile:
        file = await opening(path)
        await sync_to_async(act, thread_sensitive=False)(owner, media)
        await _refresh()  # as the watch does meanwhile
        return file

    monkeypatch.setattr(OpenFile, "open", after)
    assert status(bearing, address(media)) == refusal


@pytest.mark.parametrize(("act", "refusal"), REVOKE)
def test_a_right_that_ends_while_ffmpeg_starts(
    clips: Clips,
    owner: User,
    monkeypatch: pytest.MonkeyPatch,
    act: Callable[[User, Media], object],
    refusal: int,
) -> None:
    media = make_clip(clips, "silent.mp4", visibility="private", owner=owner)
    client = bearer(given(client_of(owner), media))
    opening, before = transcodes.open_transcode, child_pids()

    async def after(*arguments: Any) -> Any:
        body = await opening(*arguments)
        await sync_to_async(act, thread_sensitive=False)(owner, media)
        return body

    monkeypatch.setattr(transcodes, "open_transcode", after)
    assert status(client, f"/media/{media.pk}/stream.mp4") == refusal
    assert transcodes.running() == 0
    assert child_pids() <= before


@pytest.fixture
def cameras_closed() -> Iterator[None]:
    yield
    homeloop.call(registry.close_all(), 10)


@pytest.mark.usefixtures("cameras_closed")
def test_a_right_that_ends_while_a_camera_opens(monkeypatch: pytest.MonkeyPatch) -> None:
    Camera.objects.create(slug="yard", name="Yard", source="test-pattern", visibility="public")
    opening = registry.snapshot

    async def after(*arguments: Any) -> Any:
        frame = await opening(*arguments)
        closing = sync_to_async(Camera.objects.filter(slug="yard").delete, thread_sensitive=False)
        await closing()
        return frame

    monkeypatch.setattr(registry, "snapshot", after)
    assert status(Client(), "/live/yard/snapshot.jpg") == 404


def test_the_page_of_what_has_just_been_deleted(media: Media, owner: User) -> None:
    """By somebody who sent no notice, so that the right still stands by the rows in memory."""
    Camera.objects.create(slug="yard", name="Yard", source="test-pattern", visibility="public")
    client = client_of(owner)
    paths = [f"/watch/{media.pk}/", "/live/yard/"]
    assert [status(client, path) for path in paths] == [200, 200]
    for model in (Media, Camera):
        found = model.objects.all()
        found._raw_delete(found.db)
    assert [status(client, path) for path in paths] == [404, 404]

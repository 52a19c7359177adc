"""What may be said, by whom and how often; where it goes; and what becomes of it when it is taken back."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.db import transaction
from django.test import Client
from django.utils import timezone

from media_library.chat import room_of
from media_library.models import Media
from mediastream.chat import rooms, saying, topic
from mediastream.chat.models import LONGEST, Message, Mute
from mediastream.chat.saying import MOST, cleaned
from mediastream.errors import BadInput, Unknown
from mediastream.live.chat import room_of as room_of_camera
from mediastream.live.models import Camera
from tests.access_table import MAY_SEE, MAY_SEE_CAMERA, ROLES, SIGNED_OUT, VISIBILITIES
from tests.core.test_wsgi import Call
from tests.media_library.conftest import client_of, collect_static, make_media, make_visitor

JSON = "application/json"

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def static_files(closed_after: None) -> None:
    collect_static()


@pytest.fixture
def media() -> Media:
    return make_media()


def person(name: str = "alice") -> User:
    return User.objects.create_user(name)


def say(client: Client, room: str, text: Any = "hello") -> Any:
    return client.post(f"/chat/{room}/messages", {"text": text}, "application/json")


def past(room: str) -> list[Any]:
    return [event.data["text"] for event in async_to_sync(topic.past)(room)]


def ages(seconds: float) -> None:
    """So long ago was all that was said so far."""
    for message in Message.objects.all():
        Message.objects.filter(pk=message.pk).update(said_at=message.said_at - timedelta(seconds=seconds))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("hello", "hello"),
        ("  a \n b\t\tc\r\n", "a b c"),
        ("a\u2028b\u2029c\x85d", "a b c d"),
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
        ("a\x00b\x1b[31mc\x7f", "ab[31mc"),
        ("\ud800half", "half"),
        ("👩\u200d👩\u200d👧", "👩\u200d👩\u200d👧"),
        ("x" * LONGEST, "x" * LONGEST),
        (" " * 5 * LONGEST + "x", "x"),
    ],
)
def test_a_message_is_one_line_of_what_can_be_seen(text: str, line: str) -> None:
    assert cleaned(text) == line


@pytest.mark.parametrize("text", ["", " \n\u2028 ", "\x00\x01", "x" * (LONGEST + 1), "\n" * 10 * LONGEST + "x"])
def test_what_is_none(text: str) -> None:
    with pytest.raises(BadInput, match=f"{LONGEST} characters"):
        cleaned(text)


@pytest.mark.parametrize("role", ROLES)
def test_who_may_write(role: str) -> None:
    """Who may see it and is signed in; by a session, and never by a ticket."""
    people = {kind: make_visitor(kind) for kind in {"owner", role}}
    client = client_of(people[role])
    for visibility in VISIBILITIES:
        item = make_media(visibility=visibility, owner=people["owner"])
        camera = Camera.objects.create(slug=visibility, name="x", source="test-pattern", visibility=visibility)
        for room, may in ((room_of(item), MAY_SEE), (room_of_camera(camera), MAY_SEE_CAMERA)):
            answer = say(client, room)
            wanted = 401 if role in SIGNED_OUT else 201 if role in may[visibility] else 403
            assert answer.status_code == wanted, (room, visibility)
            assert Message.objects.filter(room=room).exists() is (wanted == 201)
            ages(60)


def test_a_ticket_lets_its_bearer_see_and_not_speak(media: Media) -> None:
    owner, other = person("owner"), person("other")
    Media.objects.filter(pk=media.pk).update(visibility="private", owner=owner)
    ticket = client_of(owner).get(f"/watch/{media.pk}/").cookies["ticket"].value
    for client, status in ((Client(), 401), (client_of(other), 403)):
        client.cookies["ticket"] = ticket
        assert client.head(f"/feeds/chat.{room_of(media)}/events").status_code == 200
        assert say(client, room_of(media)).status_code == status


def test_a_form_of_ours_alone(media: Media) -> None:
    client = client_of(person(), enforce_csrf_checks=True)
    address = f"/chat/{room_of(media)}/messages"
    assert client.post(address, {"text": "forged"}).status_code == 403
    token = client.get(f"/watch/{media.pk}/").cookies["csrftoken"].value
    assert client.post(address, {"text": "a form", "csrfmiddlewaretoken": token}).status_code == 201
    headers = {"X-CSRFToken": token}
    answer = client.post(address, {"text": "JSON"}, "application/json", headers=headers)
    assert (answer.status_code, answer["Cache-Control"]) == (201, "no-store")
    assert answer.json() == {"id": Message.objects.get(text="JSON").pk}
    assert past(room_of(media)) == ["a form", "JSON"]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", JSON), (b"[]", JSON), (b"null", JSON), (b"{", JSON), (b'{"text": 7}', JSON), (b'{"text": ["a"]}', JSON),
        (b"\xff", JSON), (b"[" * 100_000, JSON), (b'{"text": "' + b"x" * 900_000 + b'"}', JSON),
        (b"other=1", "application/x-www-form-urlencoded"), (b"hello", "text/plain"),
    ],
    ids=range(11),
)  # fmt: skip
def test_what_is_no_message(media: Media, body: bytes, kind: str) -> None:
    answer = client_of(person()).post(f"/chat/{room_of(media)}/messages", body, kind)
    assert (answer.status_code, answer.json()["error"]) == (400, "bad_input")
    assert not Message.objects.exists()


@pytest.mark.parametrize(
    "room", ["watch.", "watch", "nowhere.1", "watch.x", "live.0", "live.1", "watch.%00", "a" * 3000]
)
def test_rooms_that_are_none(room: str) -> None:
    assert say(client_of(person()), room).status_code == 404


def test_so_many_in_so_long(media: Media) -> None:
    alice, bob = client_of(person("alice")), client_of(person("bob"))
    other = room_of(make_media())
    answers = [say(alice, room) for room in [room_of(media), other] * 3]
    assert [answer.status_code for answer in answers] == [201] * MOST + [429]
    assert answers[-1].json()["error"] == "too_many"
    assert 1 <= int(answers[-1]["Retry-After"]) <= 10
    assert say(bob, other).status_code == 201
    ages(11)
    assert say(alice, other).status_code == 201


def test_a_clock_that_was_put_back_silences_nobody(media: Media) -> None:
    alice = client_of(person())
    for _ in range(MOST):
        say(alice, room_of(media))
    ages(-3600)
    assert say(alice, room_of(media)).status_code == 201


def test_a_room_keeps_its_latest(media: Media, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saying, "KEPT", 3)
    author, room = person(), room_of(media)
    stay = Message.objects.create(room="watch.other", author=author, text="x", said_at=timezone.now())
    for number in range(MOST):
        saying.say(room, author, str(number))
    assert past(room) == ["2", "3", "4"]
    assert Message.objects.filter(pk=stay.pk).exists()


def test_a_muted_person_reads_and_does_not_write(media: Media) -> None:
    alice = person()
    Mute.objects.create(user=alice)
    client = client_of(alice)
    answer = say(client, room_of(media))
    assert (answer.status_code, "muted" in answer.json()["detail"]) == (403, True)
    assert client.head(f"/feeds/chat.{room_of(media)}/events").status_code == 200


class Reader:
    """A room as it is read."""

    def __init__(self, room: str) -> None:
        self.call = Call(f"/feeds/chat.{room}/stream", QUERY_STRING="after=oldest")
        self._lines = (line for chunk in self.call.result for line in chunk.splitlines() if line)
        assert json.loads(next(self._lines))["event"] == "open"

    def next(self) -> tuple[str, Any]:
        said = json.loads(next(self._lines))
        return said["event"], said["data"].get("text", said["data"].get("key"))


def test_moderation(media: Media) -> None:
    """In the admin, and by whatever else changes the row; who reads is told, and who comes later never reads it."""
    room, author = room_of(media), person()
    boss = client_of(make_visitor("superuser"))
    kept, hidden, deleted = (saying.say(room, author, text) for text in ("kept", "hidden", "deleted"))
    reader = Reader(room)
    assert [reader.next() for _ in range(3)] == [("message", text) for text in ("kept", "hidden", "deleted")]

    def act(name: str, message: Message) -> None:
        chosen = {"action": name, "_selected_action": [message.pk], "post": "yes"}
        assert boss.post("/admin/chat/message/", chosen).status_code == 302

    act("hide", hidden)
    assert reader.next() == ("retract", str(hidden.pk))
    act("delete_selected", deleted)
    assert reader.next() == ("retract", str(deleted.pk))
    late = Reader(room)
    assert [late.next() for _ in range(3)] == [
        ("message", "kept"),
        ("retract", str(hidden.pk)),
        ("retract", str(deleted.pk)),
    ]
    assert past(room) == ["kept"]
    act("show_again", hidden)
    assert reader.next() == ("message", "hidden")
    act("mute", kept)
    assert say(client_of(author), room).status_code == 403
    act("unmute", kept)
    assert say(client_of(author), room).status_code == 201
    for page in ("", f"?room={room}", f"{kept.pk}/change/"):
        assert boss.get(f"/admin/chat/message/{page}").status_code == 200
    author.delete()
    assert not Message.objects.exists()
    late.call.close()
    reader.call.close()


def test_a_message_that_is_stored_and_not_yet_published_when_its_room_opens_is_read_once(media: Media) -> None:
    room, author, readers = room_of(media), person(), list[Reader]()
    with transaction.atomic():
        transaction.on_commit(lambda: readers.append(Reader(room)))  # before what publishes it
        saying.say(room, author, "one")
    saying.say(room, author, "two")
    assert [readers[0].next() for _ in range(2)] == [("message", "one"), ("message", "two")]
    readers[0].call.close()


def test_moderators_are_administrators(media: Media) -> None:
    saying.say(room_of(media), person(), "a secret of a private item")
    staff = client_of(make_visitor("staff"))
    assert staff.get("/admin/chat/message/").status_code == 403


def test_what_belongs_to_a_thing_goes_with_it(media: Media) -> None:
    camera = Camera.objects.create(slug="yard", name="Yard", source="test-pattern", visibility="public")
    author = person()
    for room in (room_of(media), room_of_camera(camera)):
        saying.say(room, author, "x")
    media.delete()
    assert Message.objects.count() == 1
    camera.delete()
    assert Message.objects.count() == 0


def test_a_camera_that_takes_anothers_name_has_a_room_of_its_own() -> None:
    camera = Camera.objects.create(slug="yard", name="Yard", source="test-pattern", visibility="public")
    saying.say(room_of_camera(camera), person(), "of the old yard")
    camera.slug = "garden"
    camera.save()
    other = Camera.objects.create(slug="yard", name="Yard", source="test-pattern", visibility="public")
    assert past(room_of_camera(other)) == []
    page = Client().get("/live/garden/").content.decode()
    assert f'data-topic="chat.{room_of_camera(camera)}"' in page
    assert rooms.page(room_of_camera(camera)) == "/live/garden/"
    other.delete()
    assert rooms.page(room_of_camera(other)) == ""


def test_the_page_shows_the_form_to_who_may_write(media: Media) -> None:
    address = f"/chat/{room_of(media)}/messages"
    assert address not in Client().get(f"/watch/{media.pk}/").content.decode()
    assert address in client_of(person()).get(f"/watch/{media.pk}/").content.decode()


async def test_a_kind_nobody_has_registered() -> None:
    with pytest.raises(Unknown):
        await rooms.right_to(None, "nowhere.1")  # type: ignore[arg-type]
    await asyncio.sleep(0)

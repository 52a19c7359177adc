"""What goes on is told to anybody: so nothing of what is not public, and nothing of it once it no longer is."""

from typing import Any

import pytest
from django.test import Client

from media_library.models import Media
from mediastream.feeds.models import Topic
from tests.core.test_wsgi import Call
from tests.media_library.conftest import client_of, make_media, make_visitor
from tests.topics import lines_of

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def activity(closed_after: None) -> None:
    Topic.objects.get_or_create(name="activity", defaults={"visibility": "public"})


def test_a_page_that_is_opened_is_told_once_and_of_public_items_alone() -> None:
    boss = client_of(make_visitor("superuser"))
    call = Call("/feeds/activity/stream")
    lines = lines_of(call)
    for visibility in ("private", "members", "public", "public"):
        media = make_media(visibility=visibility, title=f"A {visibility} film")
        for client in (boss, boss, Client()):
            client.get(f"/watch/{media.pk}/")
    boss.head(f"/watch/{make_media(title='Asked for its head alone').pk}/")
    last = make_media(title="The last")
    boss.get(f"/watch/{last.pk}/")
    said = [next(lines) for _ in range(3)]
    assert [line["data"]["title"] for line in said] == ["A public film", "A public film", "The last"]
    assert said[2]["event"] == "watched"
    assert said[2]["data"] == {"what": "watched", "title": "The last", "watch": f"/watch/{last.pk}/"}
    call.close()


def make_private(media: Media) -> None:
    media.visibility = "private"
    media.save()


@pytest.mark.parametrize("act", [make_private, Media.delete])
def test_what_is_public_no_longer_is_taken_back(act: Any) -> None:
    call = Call("/feeds/activity/stream")
    lines = lines_of(call)
    media = make_media(title="A secret from now on")
    address, key = media.get_absolute_url(), f"watch/{media.pk}"
    Client().get(address)
    assert next(lines)["data"]["watch"] == address
    act(media)
    said = next(lines)
    assert (said["event"], said["data"], said["key"]) == ("retract", {"key": key}, key)
    for query in ("after=oldest", "after=0123abcd:1"):
        late = Call("/feeds/activity/stream", QUERY_STRING=query)
        chunks = iter(late.result)
        assert b"secret" not in next(chunks) + next(chunks)
        late.close()
    call.close()

"""What is told of a camera to who may see it, how its viewers are counted, and what is told of its starts."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client

from mediastream import homeloop
from mediastream.feeds import activity, hub
from mediastream.feeds.models import Topic
from mediastream.live import registry, topic, videos
from mediastream.live.condition import Condition, State
from mediastream.live.models import Camera
from mediastream.live.terms import Terms
from tests.core.test_wsgi import Call
from tests.media_library.conftest import client_of, collect_static, make_visitor
from tests.topics import lines_of

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def told_often(closed_after: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    collect_static()
    monkeypatch.setattr(topic, "LOOK_EVERY", 0.02)
    monkeypatch.setattr(activity, "_told", {})
    yield
    for close in (topic.close_all, registry.close_all, videos.close_all):
        homeloop.call(close(), 10)


@pytest.fixture
def yard() -> Camera:
    return Camera.objects.create(slug="yard", name="Yard", source="test-pattern", visibility="public")


def told(call: Call) -> Iterator[dict[str, Any]]:
    return (line["data"] for line in lines_of(call) if line["event"] == "message")


def test_a_camera_that_is_watched(yard: Camera) -> None:
    call = Call("/feeds/live.yard/stream")
    said = told(call)
    assert next(said).items() >= {"state": "resting", "viewers": 0}.items()
    stream = Client().get("/live/yard/mjpeg")
    pictures = iter(stream)
    next(pictures)
    live = next(each for each in said if each["state"] == "live")
    assert live["viewers"] == 1
    assert 0 <= live["time"] - live["captured"] < 20
    stream.close()
    del pictures
    assert next(each for each in said if each["viewers"] == 0)["state"] in ("live", "late", "resting")
    call.close()


def test_an_encoder_is_no_viewer_and_those_behind_it_are(yard: Camera) -> None:
    first, second = (Client().get("/live/yard/stream.mp4") for _ in range(2))
    pictures = Client().get("/live/yard/mjpeg")
    now = registry.condition("yard")
    assert (now.viewers, len(now.skips), now.of_video) == (3, 1, 2)
    page = client_of(make_visitor("superuser")).get(f"/admin/live/camera/{yard.pk}/change/").content.decode()
    assert "3 viewers" in page
    first.close()
    second.close()
    assert registry.condition("yard").viewers == 1
    pictures.close()


def test_a_recorder_is_no_viewer() -> None:
    async def count() -> int:
        camera = registry.camera("yard", Terms("test-pattern", 5, "public"), "ffmpeg")
        feed = videos.feed(camera, "ffmpeg")
        feed.join(across=True)
        feed.join()
        return feed.watching()

    assert homeloop.call(count(), 10) == 1


@pytest.fixture
def conditions(monkeypatch: pytest.MonkeyPatch) -> tuple[list[Condition], list[Any]]:
    """What the camera is like at each look, and what is told then."""
    looks: list[Condition] = []
    said: list[Any] = []

    async def publish(name: str, event: Any) -> None:
        assert name == "live.yard"
        said.append((event.data["state"], event.data["viewers"], event.data.get("captured")))

    monkeypatch.setattr(topic, "LOOK_EVERY", 0)
    monkeypatch.setattr(registry, "condition", lambda _slug: looks.pop(0) if len(looks) > 1 else looks[0])
    monkeypatch.setattr(hub, "apublish", publish)
    looks.append(Condition(State.RESTING))
    return looks, said


async def test_what_is_told_again_and_what_is_not(
    conditions: tuple[list[Condition], list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    looks, said = conditions
    looks[:] = [
        Condition(State.RESTING),
        Condition(State.RESTING),
        Condition(State.LIVE, 1.0),
        *(Condition(State.LIVE, float(number)) for number in range(2, 50)),  # sooner than a page needs to know
        Condition(State.LIVE, 50.0, skips=(0, 0)),
        Condition(State.RECONNECTING, 50.0, skips=(0, 0)),
    ]
    task = asyncio.create_task(topic._tell("yard"))
    async with asyncio.timeout(20):
        while len(said) < 4:
            await asyncio.sleep(0)
    assert said == [("resting", 0, None), ("live", 0, 1.0), ("live", 2, 50.0), ("reconnecting", 2, 50.0)]
    monkeypatch.setattr(topic, "PICTURES_EVERY", 0.0)
    looks.append(Condition(State.RECONNECTING, 51.0, skips=(0, 0)))
    async with asyncio.timeout(20):
        while len(said) < 5:
            await asyncio.sleep(0)
    assert said[-1] == ("reconnecting", 2, 51.0)
    task.cancel()


def test_starts_are_told_of_public_cameras_and_taken_back(yard: Camera) -> None:
    Topic.objects.get_or_create(name="activity", defaults={"visibility": "public"})
    Camera.objects.create(slug="secret", name="Secret", source="test-pattern", visibility="private")
    boss = client_of(make_visitor("superuser"))
    call = Call("/feeds/activity/stream")
    lines = (json.loads(line) for chunk in call.result for line in chunk.splitlines() if line)
    assert next(lines)["event"] == "open"
    for slug in ("secret", "yard"):
        assert boss.get(f"/live/{slug}/snapshot.jpg").status_code == 200
    said = next(lines)
    assert (said["event"], said["data"]) == ("started", {"what": "started", "title": "yard", "watch": "/live/yard/"})
    Camera.objects.get(slug="secret").save()  # nothing was told of it, and nothing is taken back
    yard = Camera.objects.get(slug="yard")
    yard.slug = "garden"
    yard.save()
    said = next(lines)
    assert (said["event"], said["data"]) == ("retract", {"key": "live/yard"})
    call.close()
    late = Call("/feeds/activity/stream", QUERY_STRING="after=oldest")
    chunks = iter(late.result)
    assert b"started" not in next(chunks) + next(chunks)
    late.close()

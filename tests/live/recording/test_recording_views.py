"""The addresses of recordings, through Django's test client."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import pytest
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client

from media_library.models import Media, State
from mediastream import keeping, streams
from mediastream.errors import DiskFull, StreamCut
from mediastream.live.models import Camera
from mediastream.live.recording import playing, recorder, views
from mediastream.live.recording.shelf import folder_of, remove_all
from mediastream.request_bodies import Bounds
from tests.live.recording.pieces import START, fill
from tests.live.recording.test_files import times
from tests.live.test_live_views import make_camera
from tests.media_library.conftest import client_of, collect_static, make_visitor
from tests.system.harness import wait_until

pytestmark = pytest.mark.django_db(transaction=True)
SECOND = START / 1000
SPAN = f"/live/yard/recording.mp4?from={SECOND}&to={SECOND + 6}"
SAVE = "/live/yard/recording/save"


def body_of(response: Any) -> bytes:
    return b"".join(response)


@pytest.fixture
def camera() -> Iterator[Camera]:
    """With eight seconds in four segments, and two more a minute later."""
    made = make_camera()
    fill(folder_of(settings.RECORDINGS, made.pk), [*(START + 2000 * number for number in range(4)), START + 60_000])
    yield made
    remove_all(settings.RECORDINGS, made.pk)


@pytest.fixture(autouse=True)
def static_files() -> None:
    collect_static()


def test_what_there_is(client: Client, camera: Camera) -> None:
    response = client.get(f"/live/yard/recording.json?from={SECOND - 10}&to={SECOND + 100}")
    assert response.status_code == 200
    said = response.json()
    assert said["stretches"] == [
        {"start": SECOND, "end": SECOND + 8},
        {"start": SECOND + 60, "end": SECOND + 62},
    ]
    assert said["state"] == "off"
    assert (said["from"], said["to"]) == (SECOND - 10, SECOND + 100)
    assert response["Cache-Control"] == "private, no-store"
    assert client.head("/live/yard/recording.json").content == b""


def test_of_now_a_day_is_listed(client: Client, camera: Camera) -> None:
    said = client.get("/live/yard/recording.json").json()
    assert said["to"] - said["from"] == 86_400


def test_a_span_by_times_of_either_kind(client: Client, camera: Camera) -> None:
    response = client.get(SPAN)
    assert response.status_code == 200
    assert response["Content-Type"] == "video/mp4"
    assert response["X-Timestamp"] == f"{SECOND:.6f}"
    assert response["Cache-Control"] == "private, no-cache"
    content = body_of(response)
    assert len(content) == int(response["Content-Length"])
    assert len(times(content)) == 150
    again = client.get("/live/yard/recording.mp4?from=2026-11-22T18:25:48.061Z&to=2026-11-22T19:25:54.061%2B01:00")
    assert again["ETag"] == response["ETag"]
    again.close()


def test_ranges_of_a_span(client: Client, camera: Camera) -> None:
    content = body_of(client.get(SPAN))
    size = len(content)
    for first, last in ((0, 99), (900, 70_000), (size // 2, size - 1), (size - 1, size - 1)):
        response = client.get(SPAN, headers={"Range": f"bytes={first}-{last}"})
        assert response.status_code == 206
        assert response["Content-Range"] == f"bytes {first}-{last}/{size}"
        assert body_of(response) == content[first : last + 1]
    parts = client.get(SPAN, headers={"Range": "bytes=0-9,-9"})
    assert parts.status_code == 206
    body = body_of(parts)
    assert content[:10] in body
    assert content[-9:] in body
    assert client.get(SPAN, headers={"Range": f"bytes={size}-"}).status_code == 416


def test_conditions_of_a_span(client: Client, camera: Camera) -> None:
    head = client.head(SPAN)
    assert head.status_code == 200
    assert int(head["Content-Length"]) > 10_000
    assert client.get(SPAN, headers={"If-None-Match": head["ETag"]}).status_code == 304
    other = client.head(f"/live/yard/recording.mp4?from={SECOND}&to={SECOND + 8}")
    assert other["ETag"] != head["ETag"]


@pytest.mark.parametrize(
    "query",
    ["", "from=1", "from=1&to=1", "from=2&to=1", "from=x&to=5", "from=0&to=86401", "from=1&to=-5"],
)
@pytest.mark.parametrize("name", ["recording.mp4", "recording.json"])
def test_times_that_are_none(client: Client, camera: Camera, name: str, query: str) -> None:
    response = client.get(f"/live/yard/{name}?{query}")
    assert response.status_code == (200 if name.endswith("json") and not query else 400)


def test_a_time_of_which_nothing_is_recorded(client: Client, camera: Camera) -> None:
    response = client.get(f"/live/yard/recording.mp4?from={SECOND + 20}&to={SECOND + 30}")
    assert response.status_code == 404
    assert "Nothing is recorded" in response.json()["detail"]


def test_a_segment_that_goes_before_its_turn_cuts_the_stream(client: Client, camera: Camera) -> None:
    chunks = iter(client.get(SPAN))
    assert next(chunks)
    remove_all(settings.RECORDINGS, camera.pk)
    with pytest.raises(StreamCut):
        b"".join(chunks)


def test_the_right_to_a_span_is_the_cameras(camera: Camera) -> None:
    Camera.objects.filter(pk=camera.pk).update(visibility="private")
    for visitor, status in (("anonymous", 401), ("member", 403), ("staff", 403), ("superuser", 200)):
        client = client_of(make_visitor(visitor))
        for path in (SPAN, "/live/yard/recording.json"):
            assert client.head(path).status_code == status
        if status != 200:
            assert client.post(SAVE, {"from": SECOND, "to": SECOND + 6}).status_code == status
    assert Media.objects.count() == 0


def test_an_open_span_is_listed_and_ends_with_its_right(client: Client, camera: Camera) -> None:
    response: Any = client.get(SPAN)
    chunks = iter(response)
    next(chunks)
    [stream] = [stream for stream in streams.open_streams() if stream.label.kind == "recording"]
    assert stream.label.item == "yard"
    assert stream.holds is not None
    assert stream.holds()
    camera.visibility = "members"
    camera.save()
    assert client.get(SPAN).status_code == 401
    assert not stream.holds()
    response.close()


def uploader() -> Client:
    user = make_visitor("member")
    user.user_permissions.add(Permission.objects.get(codename="add_media"))  # type: ignore[union-attr]
    return client_of(user)


def test_a_span_is_saved_as_an_item(camera: Camera) -> None:
    client = uploader()
    response = client.post(SAVE, {"from": SECOND + 2, "to": SECOND + 6}, headers={"Accept": "application/json"})
    assert response.status_code == 201
    media = Media.objects.get()
    said = response.json()
    assert said["watch"] == response["Location"] == f"/watch/{media.pk}/"
    assert media.title == "Yard, 2026-11-22 18:25:50 UTC"
    assert (media.state, media.visibility, media.owner) == (State.READY, "public", get_user_model().objects.get())
    assert media.duration == pytest.approx(4, abs=0.05)
    assert media.browser_type.startswith("video/mp4; codecs=")
    content = body_of(client.get(said["file"]))
    assert content == body_of(client.get(f"/live/yard/recording.mp4?from={SECOND + 2}&to={SECOND + 6}"))
    assert media.size == len(content)
    with av.open(io.BytesIO(content)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 100
    assert list(Path(settings.FILE_UPLOAD_TEMP_DIR).iterdir()) == []


def test_a_browsers_form_is_shown_the_item(camera: Camera) -> None:
    response = uploader().post(SAVE, {"from": SECOND, "to": SECOND + 1}, headers={"Accept": "text/html"})
    assert (response.status_code, response["Location"]) == (303, f"/watch/{Media.objects.get().pk}/")


@pytest.mark.parametrize(
    ("values", "status"),
    [({}, 400), ({"from": "x", "to": "5"}, 400), ({"from": SECOND + 20, "to": SECOND + 30}, 404)],
)
def test_what_cannot_be_saved(camera: Camera, values: dict[str, Any], status: int) -> None:
    assert uploader().post(SAVE, values).status_code == status
    assert Media.objects.count() == 0


def test_who_may_see_and_not_upload_cannot_save(camera: Camera) -> None:
    response = client_of(make_visitor("member")).post(SAVE, {"from": SECOND, "to": SECOND + 6})
    assert response.status_code == 403
    assert "not add to the library" in response.json()["detail"]


def test_a_form_of_another_site_is_refused(camera: Camera) -> None:
    client = client_of(make_visitor("superuser"), enforce_csrf_checks=True)
    assert client.post(SAVE, {"from": SECOND, "to": SECOND + 6}).status_code == 403
    assert client.get(SAVE).status_code == 405


def test_what_is_too_large_or_has_no_room_is_not_saved(
    camera: Camera, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, values = uploader(), {"from": SECOND, "to": SECOND + 6}
    with monkeypatch.context() as patch:
        patch.setattr(Bounds, "check_room", _full)
        assert client.post(SAVE, values).status_code == 507
    with monkeypatch.context() as patch:
        patch.setattr(keeping.ingest, "inspect", _no_space)
        assert client.post(SAVE, values).status_code == 507
    settings.REQUEST_BODY_BOUNDS = Bounds(1000, (), settings.REQUEST_BODY_BOUNDS.temporary)
    assert client.post(SAVE, values).status_code == 413
    assert Media.objects.count() == 0
    assert list(Path(settings.FILE_UPLOAD_TEMP_DIR).iterdir()) == []


def _full(*_: Any) -> None:
    raise DiskFull("There is no room.")


def _no_space(*_: Any) -> None:
    raise OSError(28, "No space left on device")


def test_the_page_offers_to_save_to_those_who_may(camera: Camera) -> None:
    for client, offered in ((Client(), False), (uploader(), True)):
        page = client.get("/live/yard/").content.decode()
        assert 'data-list="/live/yard/recording.json"' in page
        assert (SAVE in page) == offered


def test_a_deleted_camera_takes_its_recordings_along(camera: Camera) -> None:
    folder = folder_of(settings.RECORDINGS, camera.pk)
    assert folder.exists()
    camera.delete()
    wait_until(lambda: not list(settings.RECORDINGS.iterdir()), 10, "the recordings to go")


def test_a_camera_by_another_name_has_its_recordings(client: Client, camera: Camera) -> None:
    camera.slug = "garden"
    camera.save()
    assert client.head(SPAN).status_code == 404
    assert client.head(SPAN.replace("yard", "garden")).status_code == 200


def test_administrators_are_told_why_it_is_not_recorded(camera: Camera, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views.recorders, "state_of", lambda *_: (recorder.State.NO_ROOM, "No space left on device"))
    for visitor, told in (("member", False), ("superuser", True)):
        said = client_of(make_visitor(visitor)).get("/live/yard/recording.json").json()
        assert said["state"] == "no_room"
        assert ("detail" in said) == told
    admin = client_of(get_user_model().objects.get(is_superuser=True))
    for page in ("", f"{camera.pk}/change/"):
        assert "no room: No space left on device" in admin.get(f"/admin/live/camera/{page}").content.decode()


def test_a_plan_is_made_once_for_many_ranges(client: Client, camera: Camera, monkeypatch: pytest.MonkeyPatch) -> None:
    body_of(client.get(SPAN))
    monkeypatch.setattr(playing, "heads", None)
    assert client.get(SPAN, headers={"Range": "bytes=0-9"}).status_code == 206

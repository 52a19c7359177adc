"""A changed or deleted camera reaches who is watching it, within a second and only when it is stored."""

import time
from collections.abc import Callable, Iterator

import pytest
from asgiref.sync import sync_to_async
from django.db import transaction
from django.test import Client

from mediastream import homeloop
from mediastream.live import changes, registry
from mediastream.live.models import Camera
from tests.live.test_live_admin import FIELDS
from tests.live.test_live_views import make_camera
from tests.media_library.conftest import child_pids, client_of, make_visitor
from tests.system.harness import wait_until

pytestmark = pytest.mark.django_db(transaction=True)
SOON = 1.0  # seconds


@pytest.fixture(autouse=True)
def cameras_closed() -> Iterator[None]:
    before = child_pids()
    yield
    homeloop.call(registry.close_all(), 10)
    assert child_pids() <= before


def change(**fields: object) -> Callable[[Camera], object]:
    def save(camera: Camera) -> None:
        for name, value in fields.items():
            setattr(camera, name, value)
        camera.save()

    return save


def watch(client: Client, path: str = "/live/yard/mjpeg") -> Iterator[bytes]:
    chunks = iter(client.get(path))
    assert next(chunks)
    return chunks


def ended_soon(chunks: Iterator[bytes], children: set[int]) -> bool:
    """Whether the stream ends, and the FFmpegs but for these are gone, in time."""
    began = time.monotonic()
    for _ in chunks:
        if time.monotonic() - began > SOON:
            return False
    while not child_pids() <= children:
        if time.monotonic() - began > SOON:
            return False
        time.sleep(0.01)
    return True


@pytest.mark.parametrize(
    "act",
    [
        change(visibility="private"), change(visibility="members"), change(source="/srv/other.mp4"), change(fps=5),
        change(slug="garden"), Camera.delete,
    ],
    ids=["private", "members", "source", "fps", "renamed", "deleted"],
)  # fmt: skip
def test_a_change_ends_every_viewer(client: Client, act: Callable[[Camera], object]) -> None:
    camera = make_camera()
    before = child_pids()
    viewers = [watch(client) for _ in range(3)]
    assert len(child_pids() - before) == 1
    act(camera)
    assert all(ended_soon(viewer, before) for viewer in viewers)
    assert registry.open_terms() == {}


def test_a_change_in_the_admin_does(client: Client) -> None:
    """Where the signal comes within a transaction."""
    camera = make_camera()
    before = child_pids()
    viewer = watch(client)
    admin = client_of(make_visitor("superuser"))
    values = FIELDS | {"visibility": "private"}
    assert admin.post(f"/admin/live/camera/{camera.pk}/change/", values).status_code == 302
    assert ended_soon(viewer, before)
    assert client.get("/live/yard/mjpeg").status_code == 401


def test_another_name_ends_nobody(client: Client) -> None:
    camera = make_camera()
    viewer = watch(client)
    change(name="Front yard")(camera)
    assert all(next(viewer) for _ in range(5))


def test_a_change_of_one_camera_ends_no_other(client: Client) -> None:
    camera = make_camera()
    make_camera(slug="door")
    yard = watch(client)
    door = watch(client, "/live/door/mjpeg")
    camera.delete()
    assert len(list(yard)) <= 1
    assert all(next(door) for _ in range(5))


def test_a_change_is_felt_when_it_is_stored_and_not_before(client: Client) -> None:
    camera = make_camera()
    viewer = watch(client)
    with transaction.atomic():
        camera.delete()
        assert all(next(viewer) for _ in range(5))
        transaction.set_rollback(True)
    assert all(next(viewer) for _ in range(5))


@pytest.fixture
def serving() -> None:
    """As a server's process does, until `close_all`."""
    registry.serve()


@pytest.mark.usefixtures("serving")
def test_a_camera_that_is_always_on_starts_when_it_is_stored_and_ends_when_it_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(registry, "LINGER", 0.0)
    before = child_pids()
    camera = make_camera(always_on=True)
    wait_until(lambda: child_pids() - before, 10, "its FFmpeg to be started")
    [pid] = child_pids() - before
    change(fps=5)(camera)
    wait_until(lambda: pid not in child_pids(), 10, "that of the former terms to be ended")
    wait_until(lambda: child_pids() - before, 10, "another to be started")
    change(always_on=False)(camera)
    wait_until(lambda: child_pids() <= before, 10, "its FFmpeg to be ended")
    change(always_on=True)(camera)
    wait_until(lambda: child_pids() - before, 10, "its FFmpeg to be started again")
    camera.delete()
    wait_until(lambda: child_pids() <= before, 10, "its FFmpeg to be ended")


def test_a_command_starts_no_camera() -> None:
    before = child_pids()
    make_camera(always_on=True)
    assert registry.open_terms() == {}
    assert child_pids() <= before


def test_nothing_open_starts_no_home_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a command has no camera open, and needs no loop")

    make_camera()
    with monkeypatch.context() as patch:
        patch.setattr(homeloop, "home", refuse)
        changes._apply()


def test_a_home_loop_that_hangs_does_not_undo_the_change(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    camera = make_camera()
    watch(client)
    monkeypatch.setattr(changes, "DEADLINE", 0.0)
    change(fps=5)(camera)
    assert Camera.objects.get().fps == 5


@pytest.mark.parametrize(("act", "status"), [(change(visibility="private"), 401), (Camera.delete, 404)])
def test_a_change_while_a_viewer_is_let_in(
    client: Client, monkeypatch: pytest.MonkeyPatch, act: Callable[[Camera], object], status: int
) -> None:
    """Its row was read before the change, and its camera was not open yet when the change looked."""
    make_camera()
    opening = registry.open_mjpeg

    async def after_a_change(*arguments: object) -> registry.MjpegBody:
        body = await opening(*arguments)  # type: ignore[arg-type]
        with monkeypatch.context() as patch:
            patch.setattr(registry, "open_terms", dict)
            await sync_to_async(lambda: act(Camera.objects.get()), thread_sensitive=False)()
        return body

    monkeypatch.setattr(registry, "open_mjpeg", after_a_change)
    assert client.get("/live/yard/mjpeg").status_code == status
    assert registry._cameras["yard"].viewers == 0

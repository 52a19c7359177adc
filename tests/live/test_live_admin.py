from importlib import import_module

import pytest
from django.apps import apps
from django.contrib.auth.models import Permission
from django.test import Client

from mediastream.live.models import Camera
from tests.media_library.conftest import client_of, collect_static, make_visitor

pytestmark = pytest.mark.django_db
CHANGE_LIST = "/admin/live/camera/"
PASSWORD = "hunter2"
FIELDS = {
    "slug": "yard",
    "name": "Yard",
    "source": "test-pattern",
    "visibility": "members",
    "fps": "25",
    "quality": "5",
    "keep_hours": "24",
    "keep_gb": "10",
}


@pytest.fixture(autouse=True)
def static_files() -> None:
    collect_static()


@pytest.fixture
def admin() -> Client:
    """Without a password: hashing one takes longer than a test."""
    return client_of(make_visitor("superuser"))


def add(client: Client, **fields: str) -> int:
    return client.post(f"{CHANGE_LIST}add/", FIELDS | fields).status_code


@pytest.mark.parametrize(
    "source",
    [
        "test-pattern",
        "rtsp://camera.example:554/stream?channel=1",
        "http://camera.example/video.mjpg",
        "/srv/film.mp4",
        "/dev/video0",
    ],
)
def test_a_camera_is_added(admin: Client, source: str) -> None:
    assert add(admin, source=source) == 302
    camera = Camera.objects.get()
    assert (camera.source, camera.visibility, camera.fps) == (source, "members", 25)


@pytest.mark.parametrize(
    "fields",
    [
        {"source": "ftp://camera.example/"},
        {"source": "film.mp4"},
        {"source": "concat:/etc/passwd"},
        {"source": "pipe:0"},
        {"source": "-i"},
        {"source": "http://"},
        {"source": "rtsp://camera.example:99999/"},
        {"source": "rtsp://camera.example/\x07"},
        {"source": ""},
        {"source": "http://camera.example/" + "x" * 500},
        {"slug": "not a slug"},
        {"slug": "../x"},
        {"slug": ""},
        {"fps": "0"},
        {"fps": "61"},
        {"still_every": "0", "source": "http://camera.example/"},
        {"still_every": "3601", "source": "http://camera.example/"},
        {"still_every": "5", "source": "rtsp://camera.example/"},
        {"still_every": "5"},
        {"quality": "1"},
        {"quality": "32"},
        {"keep_hours": "0"},
        {"keep_hours": "87601"},
        {"keep_hours": ""},
        {"keep_gb": "0"},
        {"keep_gb": "0.001"},
        {"keep_gb": "100001"},
        {"keep_gb": "ten"},
        {"size": "640"},
        {"size": "0x480"},
        {"size": "640x"},
        {"size": "99999x480"},
        {"size": "-640x480"},
        {"username": "viewer"},
        {"source": "/srv/film.mp4", "username": "viewer", "password": "x"},
        {"source": "rtsp://camera.example/", "username": "vie\x07wer"},
        {"visibility": "everyone"},
    ],
)
def test_a_bad_field_is_refused_in_the_form(admin: Client, fields: dict[str, str]) -> None:
    assert add(admin, **fields) == 200
    assert not Camera.objects.exists()


def test_a_slug_is_taken_once(admin: Client) -> None:
    assert add(admin) == 302
    assert add(admin) == 200
    assert Camera.objects.count() == 1


def test_the_list_shows_no_password(admin: Client) -> None:
    add(admin, source=f"rtsp://admin:{PASSWORD}@camera.example/stream")
    page = admin.get(CHANGE_LIST).content.decode()
    assert "camera.example/stream" in page
    assert PASSWORD not in page


def test_a_name_and_password_in_the_address_are_taken_out_of_it(admin: Client) -> None:
    assert add(admin, source=f"rtsp://admin:{PASSWORD}%40@camera.example/stream") == 302
    camera = Camera.objects.get()
    assert (camera.source, camera.username, camera.password) == (
        "rtsp://camera.example/stream",
        "admin",
        f"{PASSWORD}@",
    )


def change(client: Client, camera: Camera, **fields: str) -> Camera:
    kept = {"source": camera.source, "username": camera.username}
    assert client.post(f"{CHANGE_LIST}{camera.pk}/change/", FIELDS | kept | fields).status_code == 302
    camera.refresh_from_db()
    return camera


def test_a_password_never_goes_back_to_the_browser_and_stays_until_it_is_changed(admin: Client) -> None:
    assert add(admin, source="rtsp://camera.example/", username="viewer", password=PASSWORD) == 302
    camera = Camera.objects.get()
    page = admin.get(f"{CHANGE_LIST}{camera.pk}/change/").content.decode()
    assert "viewer" in page
    assert PASSWORD not in page
    assert change(admin, camera, fps="10").password == PASSWORD
    assert change(admin, camera, password="other").password == "other"
    assert change(admin, camera, username="").password == ""
    assert camera.fps == 25


def test_pictures_as_wanted(admin: Client) -> None:
    wanted = {"size": "1280x720", "quality": "2", "fps": "10", "still_every": "60"}
    assert add(admin, source="http://camera.example/now.jpg", **wanted) == 302
    camera = Camera.objects.get()
    assert (camera.size, camera.quality, camera.fps, camera.still_every) == ("1280x720", 2, 10, 60)
    assert camera.terms.still_every == 60
    assert not camera.terms.drop_identical
    assert change(admin, camera, drop_identical="on").terms.drop_identical


def test_the_source_is_not_searched(admin: Client) -> None:
    """Else a search would tell, letter by letter, what the list masks."""
    add(admin, source=f"rtsp://admin:{PASSWORD}@camera.example/stream")
    assert b"0 cameras" in admin.get(CHANGE_LIST, {"q": PASSWORD[:3]}).content
    assert b"1 camera" in admin.get(CHANGE_LIST, {"q": "yard"}).content


@pytest.mark.parametrize(("visitor", "status"), [("anonymous", 302), ("member", 302), ("staff", 403)])
def test_who_may_not_look(visitor: str, status: int) -> None:
    assert client_of(make_visitor(visitor)).get(CHANGE_LIST).status_code == status


def test_cameras_are_for_administrators_whatever_permissions_others_hold() -> None:
    """A source can be any file of the server's, so to name one is to read it."""
    staff = make_visitor("staff")
    staff.user_permissions.set(Permission.objects.filter(codename__endswith="_camera"))
    client = client_of(staff)
    assert client.get(CHANGE_LIST).status_code == 403
    assert add(client) == 403
    assert not Camera.objects.exists()


def test_passwords_stored_within_addresses_are_moved_out_of_them() -> None:
    """What the migration does to rows of before."""
    Camera.objects.create(slug="yard", source=f"rtsp://admin:{PASSWORD}@camera.example/1")
    Camera.objects.create(slug="door", source="rtsp://camera.example/2")
    migration = import_module("mediastream.live.migrations.0002_source_and_pictures")
    migration.take_credentials_out(apps, None)
    rows = Camera.objects.order_by("slug").values_list("source", "username", "password")
    assert list(rows) == [
        ("rtsp://camera.example/2", "", ""),
        ("rtsp://camera.example/1", "admin", PASSWORD),
    ]

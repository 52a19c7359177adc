import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from mediastream.live.models import Camera
from tests.media_library.conftest import client_of, collect_static, make_visitor

pytestmark = pytest.mark.django_db
CHANGE_LIST = "/admin/live/camera/"
PASSWORD = "hunter2"


@pytest.fixture(autouse=True)
def static_files() -> None:
    collect_static()


@pytest.fixture
def admin() -> Client:
    """Without a password: hashing one takes longer than a test."""
    return client_of(make_visitor("superuser"))


def add(client: Client, **fields: str) -> int:
    values = {"slug": "yard", "name": "Yard", "source": "test-pattern", "fps": "25", "visibility": "members"}
    return client.post(f"{CHANGE_LIST}add/", values | fields).status_code


@pytest.mark.parametrize(
    "source",
    [
        "test-pattern",
        "rtsp://user:p%40ss@camera.example:554/stream?channel=1",
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

import io
import json

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from mediastream.live.models import Camera
from tests.media_library.conftest import collect_static

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> str:
    out = io.StringIO()
    call_command("add_camera", *arguments, stdout=out)
    return out.getvalue()


def test_it_prints_where_the_camera_is_served(client: Client) -> None:
    collect_static()
    printed = run("yard", "test-pattern", "--name", "The yard", "--visibility", "public")
    assert printed.count("\n") == 1
    said = json.loads(printed)
    assert said == {
        "slug": "yard",
        "page": "/live/yard/",
        "mjpeg": "/live/yard/mjpeg",
        "snapshot": "/live/yard/snapshot.jpg",
    }
    assert list(said) == ["slug", "page", "mjpeg", "snapshot"]
    camera = Camera.objects.get()
    assert (camera.name, camera.source, camera.visibility) == ("The yard", "test-pattern", "public")
    assert {client.head(said[name]).status_code for name in ("page", "mjpeg", "snapshot")} == {200}


def test_what_is_not_said() -> None:
    run("yard", "/srv/film.mp4")
    camera = Camera.objects.get()
    assert (camera.name, camera.visibility, camera.fps) == ("yard", "members", 25)
    assert not camera.always_on
    run("door", "test-pattern", "--always-on")
    assert Camera.objects.get(slug="door").always_on


def test_a_password_is_kept_apart() -> None:
    assert "hunter2" not in run("yard", "rtsp://admin:hunter2@camera.example/1")
    camera = Camera.objects.get()
    assert (camera.source, camera.username, camera.password) == ("rtsp://camera.example/1", "admin", "hunter2")


@pytest.mark.parametrize(
    ("slug", "source", "fault"),
    [
        ("not a slug", "test-pattern", "slug: "),
        ("../x", "test-pattern", "slug: "),
        ("x" * 51, "test-pattern", "slug: "),
        ("", "test-pattern", "slug: "),
        ("yard", "ftp://camera.example/", "source: Not a source: give test-pattern, "),
        ("yard", "film.mp4", "source: "),
        ("yard", "", "source: "),
        ("yard", "http://x/" + "x" * 500, "source: "),
    ],
)
def test_a_bad_word_is_refused(slug: str, source: str, fault: str) -> None:
    with pytest.raises(CommandError) as caught:
        run(slug, source)
    assert fault in str(caught.value)
    assert not Camera.objects.exists()


def test_a_slug_is_taken_once() -> None:
    run("yard", "test-pattern")
    with pytest.raises(CommandError, match=r"slug: .*already exists"):
        run("yard", "test-pattern")
    assert Camera.objects.count() == 1


def test_a_refusal_shows_no_password() -> None:
    with pytest.raises(CommandError) as caught:
        run("yard", "ftp://admin:hunter2@camera.example/")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("arguments", [(), ("yard",), ("yard", "test-pattern", "--visibility", "everyone")])
def test_a_bad_command_line(arguments: tuple[str, ...]) -> None:
    with pytest.raises(CommandError):
        run(*arguments)

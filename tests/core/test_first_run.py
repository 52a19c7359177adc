import io
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.contrib.auth import authenticate, get_user_model
from django.core.management import call_command

from media_library.models import Media, State
from mediastream.live.models import Camera
from mediastream.management.commands import first_run

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, settings: LazySettings, tmp_path: Path) -> None:
    """A fresh data folder, and clips of a second."""
    settings.DATA_DIR = tmp_path
    monkeypatch.setattr(first_run, "SECONDS", 1)


@pytest.fixture
def no_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_run, "CLIPS", ())


def run() -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    call_command("first_run", stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def state() -> str:
    rows = [*Media.objects.values(), *Camera.objects.values(), *get_user_model().objects.values()]
    return json.dumps(rows, default=str)


def test_a_fresh_folder_gets_an_administrator_a_camera_and_clips() -> None:
    printed, failed = run()
    assert failed == ""
    password = re.search(r"Administrator: admin, password: (\S+) ", printed)
    assert password is not None
    administrator = authenticate(username="admin", password=password[1])
    assert administrator is not None
    assert administrator.is_superuser
    camera = Camera.objects.get()
    assert (camera.slug, camera.source, camera.visibility) == ("test-pattern", "test-pattern", "public")
    clips = list(Media.objects.all())
    assert {(clip.state, clip.visibility) for clip in clips} == {(State.READY, "public")}
    assert len(clips) == 3
    assert sum(clip.browser_type == "" for clip in clips) == 1
    assert all(clip.poster for clip in clips)

    before = state()
    assert run() == ("", "")
    assert state() == before


def test_a_first_run_that_was_stopped_goes_on_where_it_was(no_clips: None, settings: LazySettings) -> None:
    """Killed before its end it starts again, and doubles nothing."""
    run()
    (settings.DATA_DIR / "first_run_done").unlink()
    before = state()
    assert run() == ("", "")
    assert state() == before


@pytest.mark.usefixtures("no_clips")
def test_a_password_from_the_environment_is_not_printed(settings: LazySettings) -> None:
    settings.ENVIRONMENT = replace(settings.ENVIRONMENT, admin_password="chosen by the operator")
    printed, _ = run()
    assert "chosen" not in printed
    assert "MEDIASTREAM_ADMIN_PASSWORD" in printed
    assert authenticate(username="admin", password="chosen by the operator")


@pytest.mark.usefixtures("no_clips")
def test_an_administrator_there_is_stays_the_only_one() -> None:
    get_user_model().objects.create_superuser("boss", "", "x")
    assert run() == ("", "")
    assert get_user_model().objects.count() == 1


def test_a_clip_that_cannot_be_made_is_said_and_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    clips = (("Broken", "broken.mp4", "no-such-source", 220, ("libx264", "aac")),)
    monkeypatch.setattr(first_run, "CLIPS", clips)
    _, failed = run()
    assert failed.startswith("No demo clip broken.mp4: ")
    assert not Media.objects.exists()
    assert Camera.objects.exists()

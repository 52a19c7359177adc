"""What script/server does before it serves: all of it when something has changed, and nothing twice."""

from pathlib import Path

import pytest
from django.conf import LazySettings
from django.contrib.auth.models import Permission
from django.core.management import call_command
from django.db import connection

from mediastream.management.commands import first_run

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    """A static file."""
    folder = tmp_path / "ours"
    folder.mkdir()
    (folder / "ours.css").write_text("a { color: red }")
    return folder / "ours.css"


@pytest.fixture(autouse=True)
def collected(monkeypatch: pytest.MonkeyPatch, settings: LazySettings, tmp_path: Path, ours: Path) -> Path:
    """Where the static files are collected, in a fresh data folder; all has been set up there."""
    monkeypatch.setattr(first_run, "CLIPS", ())
    settings.DATA_DIR, settings.STATIC_ROOT, settings.STATICFILES_DIRS = tmp_path, tmp_path / "static", [ours.parent]
    call_command("set_up")
    return tmp_path / "static"


def state(collected: Path) -> dict[str, int]:
    return {path.name: path.stat().st_ctime_ns for path in collected.glob("*") if path.is_file()}


def test_a_second_time_nothing_is_done(collected: Path) -> None:
    before = state(collected)
    assert "staticfiles.json" in before
    call_command("set_up")
    assert state(collected) == before


def test_a_file_that_has_changed_is_collected(collected: Path, ours: Path) -> None:
    ours.write_text("a { color: green }")
    call_command("set_up")
    assert {path.read_text() for path in collected.glob("ours*.css")} >= {"a { color: green }"}
    assert len(list(collected.glob("ours.*.css"))) == 2  # the other may still be asked for


def test_a_file_that_is_missing_comes_again(collected: Path) -> None:
    (gone,) = collected.glob("ours.*.css")
    gone.unlink()
    call_command("set_up")
    assert gone.exists()


def test_a_database_of_before_is_migrated(collected: Path) -> None:
    call_command("migrate", "chat", "zero", verbosity=0)
    assert "chat_message" not in connection.introspection.table_names()
    call_command("set_up")
    assert "chat_message" in connection.introspection.table_names()


def test_what_was_not_done_to_its_end_is_done_again(collected: Path) -> None:
    (collected.parent / "set_up_done").unlink()
    Permission.objects.filter(codename="add_camera").delete()
    call_command("set_up")
    assert Permission.objects.filter(codename="add_camera").exists()

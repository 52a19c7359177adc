"""The one door by which a file becomes an item: what fails in it leaves nothing behind."""

import errno
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.db import transaction

from media_library import ingest
from media_library.models import Media, State
from media_library.probe import ProbeFailed
from media_library.signals import media_ready
from media_library.storage import LocalStorage
from mediastream.access import Visibility
from mediastream.errors import NotMedia
from tests.media import Clips
from tests.media_library.conftest import make_clip, make_media, probed, stored_files

pytestmark = pytest.mark.django_db


class OutOfOrder(Exception):
    """Stands for a database that refuses."""


@pytest.fixture
def refusing_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row that cannot be written: its file has been stored by then, as FileField stores before the INSERT."""
    save = Media.save

    def refuse(media: Media, *args: Any, **kwargs: Any) -> None:
        save(media, *args, **kwargs)
        raise OutOfOrder

    monkeypatch.setattr(Media, "save", refuse)


@pytest.fixture
def probe_out_of_order(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path) -> None:
        raise ProbeFailed("The probe is out of order.")

    monkeypatch.setattr(ingest, "probe_now", fail)


def test_a_file_is_added_whole(clips: Clips) -> None:
    path = clips["h264.mp4"]
    media = ingest.add_file(path, visibility=Visibility.PUBLIC)
    media.refresh_from_db()
    assert (media.state, media.visibility, media.reason) == (State.READY, Visibility.PUBLIC, "")
    assert (media.title, media.original_name) == ("h264", "h264.mp4")
    assert media.facts == probed(path)
    assert media.size == path.stat().st_size
    assert media.path.read_bytes() == path.read_bytes()
    assert media.poster.read().startswith(b"\xff\xd8")
    media.poster.close()


def test_members_see_what_nobody_said_more_of(clips: Clips) -> None:
    assert ingest.add_file(clips["silent.mp4"]).visibility == Visibility.MEMBERS


def test_sound_has_no_poster(clips: Clips) -> None:
    media = ingest.add_file(clips["sound.mp3"])
    assert (media.state, media.poster.name) == (State.READY, "")


@pytest.mark.parametrize("content", [b"", b"just some words\n" * 100])
def test_a_bad_file_is_refused_and_leaves_nothing(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.mp4"
    path.write_bytes(content)
    before = stored_files()
    with pytest.raises(NotMedia):
        ingest.add_file(path)
    assert stored_files() == before
    assert not Media.objects.exists()


@pytest.mark.usefixtures("refusing_rows")
def test_a_file_whose_row_failed_is_taken_away_again(clips: Clips) -> None:
    before = stored_files()
    with pytest.raises(OutOfOrder):
        ingest.add_file(clips["silent.mp4"])
    assert stored_files() == before
    assert not Media.objects.exists()


def test_a_replacement_whose_row_failed_leaves_the_item_as_it_was(
    clips: Clips, request: pytest.FixtureRequest, django_capture_on_commit_callbacks: Any
) -> None:
    media = make_clip(clips, "silent.mp4")
    before, name = stored_files(), media.file.name
    request.getfixturevalue("refusing_rows")
    media.file = ContentFile(b"other", name="other.mp4")
    with django_capture_on_commit_callbacks(execute=True), pytest.raises(OutOfOrder):
        ingest.save(media)
    assert stored_files() == before
    assert Media.objects.get().file.name == name


def test_a_file_that_cannot_be_stored_deletes_nothing_by_its_senders_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until it is stored a file has the name it came with: here that of our own folder."""

    def full(storage: LocalStorage, name: str, content: Any) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    make_media()
    monkeypatch.setattr(LocalStorage, "_save", full)
    before = stored_files()
    with pytest.raises(OSError, match="No space left"):
        ingest.save(Media(file=ContentFile(b"x", name="media")))
    assert stored_files() == before


def test_a_replaced_file_goes_once_the_row_is_certain(django_capture_on_commit_callbacks: Any) -> None:
    media = make_media()
    old = media.path
    media.file = ContentFile(b"new", name="new.webm")
    with django_capture_on_commit_callbacks(execute=True):
        ingest.save(media)
        assert old.exists()
    assert not old.exists()
    assert media.path.read_bytes() == b"new"
    assert media.path.suffix == ".webm"


def test_an_edit_keeps_the_file(django_capture_on_commit_callbacks: Any) -> None:
    media = make_media()
    media.title = "Another"
    with django_capture_on_commit_callbacks(execute=True):
        ingest.save(media)
    assert media.path.exists()


def test_deleting_the_row_deletes_its_files(django_capture_on_commit_callbacks: Any) -> None:
    before = stored_files()
    media = make_media()
    media.poster.save("poster.jpg", ContentFile(b"\xff\xd8"))
    assert len(stored_files() - before) == 2
    with django_capture_on_commit_callbacks(execute=True):
        media.delete()
    assert stored_files() == before


def test_a_deletion_that_is_rolled_back_keeps_the_files() -> None:
    media = make_media()
    with transaction.atomic():
        media.delete()
        transaction.set_rollback(True)
    assert Media.objects.exists()
    assert media.path.exists()


@pytest.mark.usefixtures("probe_out_of_order")
def test_a_probe_that_fails_for_our_reason_stores_the_file_all_the_same(clips: Clips) -> None:
    media = ingest.add_file(clips["silent.mp4"])
    assert (media.state, media.reason) == (State.FAILED, "The probe is out of order.")
    assert media.path.exists()
    assert not media.poster


def test_probe_again_makes_it_ready(clips: Clips) -> None:
    media = make_media(clips["silent.mp4"].read_bytes(), state=State.FAILED, reason="out of order", content_type="x/y")
    ingest.probe_again(media)
    media.refresh_from_db()
    assert (media.state, media.reason, media.content_type) == (State.READY, "", "video/mp4")
    assert media.poster


@pytest.mark.parametrize(("content", "reason"), [(b"", "empty"), (b"words" * 100, "cannot be used"), (None, "read")])
def test_probe_again_says_what_is_wrong(content: bytes | None, reason: str) -> None:
    media = make_media(content or b"", state=State.PENDING)
    if content is None:
        media.path.unlink()
    ingest.probe_again(media)
    media.refresh_from_db()
    assert media.state == State.FAILED
    assert reason in media.reason
    assert str(media.path.parent) not in media.reason


def test_what_a_higher_floor_fails_at_is_not_the_items_fault(clips: Clips) -> None:
    def fail(sender: type[Media], **kwargs: Any) -> None:
        raise OutOfOrder

    media_ready.connect(fail)
    try:
        assert ingest.add_file(clips["sound.mp3"]).state == State.READY
    finally:
        media_ready.disconnect(fail)


@pytest.mark.parametrize(
    ("name", "original_name", "title"),
    [
        ("My_holiday film.mp4", "My_holiday film.mp4", "My holiday film"),
        ("../../etc/passwd.mp4", "etc passwd.mp4", "etc passwd"),
        ("new\nline.mp4", "newline.mp4", "newline"),
        ("x" * 300 + ".mp4", "x" * 251 + ".mp4", "x" * 200),
        ("😀.webm", "😀.webm", "😀"),
        ("\n", "file", "file"),
        (".mp4", "mp4", "mp4"),
    ],
)
def test_names_are_made_fit_for_a_row(name: str, original_name: str, title: str) -> None:
    media = Media()
    ingest.describe(media, name, 7)
    assert (media.original_name, media.title, media.size) == (original_name, title, 7)


def test_a_title_that_was_given_stays() -> None:
    media = Media(title="Mine")
    ingest.describe(media, "other.mp4", 1)
    assert media.title == "Mine"

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django_q.models import OrmQ

from media_library import ingest
from media_library.models import Media, State
from media_library.probe import ProbeFailed
from mediastream import spawning
from mediastream.bus import Lease
from mediastream.environment import ROOT
from tests.media import Clips
from tests.media_library.conftest import make_media, stored_files

pytestmark = pytest.mark.django_db


def run(name: str, *arguments: object) -> list[str]:
    """The lines a command prints."""
    out = io.StringIO()
    call_command(name, *(str(argument) for argument in arguments), stdout=out)
    return out.getvalue().splitlines()


@pytest.fixture
def detached(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    recorded: list[list[str]] = []
    monkeypatch.setattr(spawning, "detach", recorded.append)
    return recorded


def test_add_media_prints_where_it_is_served(clips: Clips, client: Client) -> None:
    (line,) = run("add_media", clips["h264.mp4"], "--title", "A film", "--visibility", "public")
    said = json.loads(line)
    assert list(said) == ["id", "title", "watch", "file", "hls", "stream"]
    media = Media.objects.get(pk=said["id"])
    assert (media.title, said["title"], media.visibility, media.state) == ("A film", "A film", "public", State.READY)
    assert said["file"] == f"/media/{media.pk}/file"
    for name in ("watch", "file", "stream"):
        assert client.head(said[name]).status_code == 200


def test_add_media_takes_several(clips: Clips) -> None:
    lines = run("add_media", clips["silent.mp4"], clips["sound.mp3"])
    assert [json.loads(line)["title"] for line in lines] == ["silent", "sound"]
    assert {media.visibility for media in Media.objects.all()} == {"members"}


@pytest.mark.parametrize(
    ("make", "options", "fault"),
    [
        (None, (), "No such file"),
        (None, ("--no-wait",), "No such file"),
        (Path.mkdir, (), "Is a directory|ended with|cannot"),
        (Path.mkdir, ("--no-wait",), "Is a directory"),
        (Path.touch, (), "empty"),
        (lambda path: path.write_text("words" * 100), (), "cannot be used"),
    ],
)
def test_add_media_refuses_and_stores_nothing(
    tmp_path: Path,
    detached: list[list[str]],
    make: Callable[[Path], object] | None,
    options: tuple[str, ...],
    fault: str,
) -> None:
    path = tmp_path / "x.mp4"
    if make is not None:
        make(path)
    before = stored_files()
    with pytest.raises(CommandError, match=fault):
        run("add_media", path, *options)
    assert not Media.objects.exists()
    assert stored_files() == before
    assert detached == []


@pytest.mark.parametrize("options", [(), ("--no-wait",)])
def test_what_was_stored_before_a_bad_file_is_told(
    clips: Clips, tmp_path: Path, detached: list[list[str]], options: tuple[str, ...]
) -> None:
    """A script must learn of what it put into the library, though a later file stops the command."""
    out = io.StringIO()
    with pytest.raises(CommandError):
        call_command("add_media", str(clips["silent.mp4"]), str(tmp_path / "none.mp4"), *options, stdout=out)
    (line,) = out.getvalue().splitlines()
    assert json.loads(line)["id"] == str(Media.objects.get().pk)
    assert len(detached) == len(options)


def test_add_media_tells_of_a_probe_that_failed(clips: Clips, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path) -> None:
        raise ProbeFailed("The probe is out of order.")

    monkeypatch.setattr(ingest, "probe_now", fail)
    with pytest.raises(CommandError, match=r"stored as .*, but: The probe is out of order\."):
        run("add_media", clips["silent.mp4"])
    assert Media.objects.get().state == State.FAILED


@pytest.mark.parametrize("options", [("--visibility", "everyone"), ("--wait",), ()])
def test_add_media_refuses_what_it_does_not_know(options: tuple[str, ...]) -> None:
    with pytest.raises(CommandError):
        run("add_media", *options, *(["x.mp4"] if options else []))


def test_no_wait_leaves_the_probe_to_a_process_of_its_own(clips: Clips, detached: list[list[str]]) -> None:
    """Without a job worker; with one, that does it."""
    lines = run("add_media", clips["silent.mp4"], clips["sound.mp3"], "--no-wait")
    ids = [json.loads(line)["id"] for line in lines]
    assert {media.state for media in Media.objects.all()} == {State.PENDING}
    assert detached == [[sys.executable, str(ROOT / "manage.py"), "job_worker", "--until-done"]]
    run(*detached[0][2:])
    assert {media.state for media in Media.objects.all()} == {State.READY}
    assert Media.objects.get(pk=ids[0]).poster
    assert not OrmQ.objects.exists()


def test_with_a_job_worker_no_process_of_its_own_is_needed(clips: Clips, detached: list[list[str]]) -> None:
    lease = Lease.take("jobs")
    assert lease is not None
    run("add_media", clips["silent.mp4"], "--no-wait")
    run("job_worker", "--until-done")
    with pytest.raises(CommandError, match="Another job worker"):
        run("job_worker")
    lease.release()
    assert detached == []
    assert OrmQ.objects.count() == 1


def test_probe_media_without_ids_takes_all_that_are_not_ready(clips: Clips) -> None:
    content = clips["sound.mp3"].read_bytes()
    wanted = [make_media(content, state=state) for state in (State.PENDING, State.FAILED)]
    make_media(b"not looked at")
    assert set(run("probe_media")) == {f"{media.pk} ready" for media in wanted}


def test_probe_media_says_what_it_could_not_probe() -> None:
    media = make_media(b"words" * 100, state=State.PENDING)
    with pytest.raises(CommandError, match=f"1 could not be probed: {media.pk}"):
        run("probe_media", media.pk)
    media.refresh_from_db()
    assert media.state == State.FAILED


def test_probe_media_takes_ids_only() -> None:
    with pytest.raises(CommandError, match="invalid"):
        run("probe_media", "not-an-id")

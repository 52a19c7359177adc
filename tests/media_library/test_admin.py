"""Uploads through the admin's own form, with real files and the real probe."""

import re
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.http import HttpResponse
from django.test import Client

from media_library import ingest
from media_library.models import Media, State
from media_library.probe import ProbeFailed
from tests.media import Clips, run_ffmpeg
from tests.media_library.conftest import (
    CHANGE_LIST,
    client_of,
    make_clip,
    make_media,
    make_visitor,
    probed,
    stored_files,
)

pytestmark = pytest.mark.django_db
ADD = f"{CHANGE_LIST}add/"
BOUNDARY = "a-boundary"


@pytest.fixture
def admin() -> Client:
    return client_of(make_visitor("superuser"))


def upload(client: Client, content: bytes, name: str = "film.mp4", path: str = ADD, **fields: Any) -> HttpResponse:
    """Post the form by hand: Django's test client would make the name fit first."""
    values = {"title": "", "visibility": "members", "owner": ""} | fields
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{{}}"'
    parts = [f"{head.format(key)}\r\n\r\n{value}\r\n".encode() for key, value in values.items()]
    if name:
        quoted = name.replace("\\", "\\\\").replace('"', '\\"')
        opening = f'{head.format("file")}; filename="{quoted}"\r\nContent-Type: text/html\r\n\r\n'
        parts.append(opening.encode() + content + b"\r\n")
    body = b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()
    return client.post(path, body, content_type=f"multipart/form-data; boundary={BOUNDARY}")


def errors(response: HttpResponse) -> str:
    return " ".join(re.findall(r'<ul class="errorlist[^>]*>(.*?)</ul>', response.content.decode(), re.DOTALL))


def test_an_upload_ends_ready(admin: Client, clips: Clips) -> None:
    content = clips["h264.mp4"].read_bytes()
    response = upload(admin, content, "My_film.mp4", visibility="public")
    assert response.status_code == 302
    media = Media.objects.get()
    assert (media.state, media.reason, media.visibility) == (State.READY, "", "public")
    assert (media.original_name, media.title, media.size) == ("My_film.mp4", "My film", len(content))
    assert media.facts == probed(clips["h264.mp4"])
    assert media.owner is not None
    assert media.owner.get_username() == "superuser"
    assert media.path.read_bytes() == content
    assert media.path.stat().st_mode & 0o777 == 0o644
    assert Path(media.poster.path).read_bytes().startswith(b"\xff\xd8")


def test_the_type_a_sender_claims_counts_for_nothing(admin: Client, clips: Clips) -> None:
    """The helper says text/html."""
    upload(admin, clips["sound.mp3"].read_bytes(), "page.html", visibility="public")
    media = Media.objects.get()
    assert media.content_type == "audio/mpeg"
    assert admin.head(media.links()["file"])["Content-Type"] == "audio/mpeg"


def text(clips: Clips, folder: Path) -> bytes:
    return b"just some words\n" * 100


def empty(clips: Clips, folder: Path) -> bytes:
    return b""


def first_half(clips: Clips, folder: Path) -> bytes:
    whole = clips["h264.mp4"].read_bytes()
    return whole[: len(whole) // 2]


def playlist(clips: Clips, folder: Path) -> bytes:
    """FFmpeg would open the file it names."""
    secret = clips["silent.mp4"]
    return f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{secret}\n#EXT-X-ENDLIST\n".encode()


def picture(clips: Clips, folder: Path) -> bytes:
    path = folder / "x.png"
    run_ffmpeg(["-f", "lavfi", "-i", "testsrc2=size=64x64", "-frames:v", "1", str(path)])
    return path.read_bytes()


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (text, "not a video or audio file"),
        (empty, "empty"),
        (first_half, "cut off"),
        (playlist, "not a video or audio file"),
        (picture, "not a video or audio file"),
    ],
)
def test_a_bad_file_is_refused_in_the_form(admin: Client, clips: Clips, tmp_path: Path, make: Any, reason: str) -> None:
    content = make(clips, tmp_path)
    before = stored_files()
    response = upload(admin, content)
    assert response.status_code == 415
    assert reason in errors(response)
    assert not Media.objects.exists()
    assert stored_files() == before


def test_an_upload_needs_a_file(admin: Client) -> None:
    response = upload(admin, b"", name="")
    assert response.status_code == 200
    assert "required" in errors(response)


@pytest.mark.parametrize("fields", [{"visibility": "everyone"}, {"owner": "99"}, {"title": "x" * 201}])
def test_a_bad_field_leaves_no_file(admin: Client, clips: Clips, fields: dict[str, str]) -> None:
    """The file was good, but the form was not: it is not kept either."""
    before = stored_files()
    response = upload(admin, clips["sound.mp3"].read_bytes(), **fields)
    assert response.status_code == 200
    assert errors(response)
    assert not Media.objects.exists()
    assert stored_files() == before


@pytest.mark.parametrize(
    ("name", "original_name"),
    [
        ('a "quoted" name.mp3', 'a "quoted" name.mp3'),
        ("../../../etc/passwd.mp3", "passwd.mp3"),
        ("C:\\Windows\\film.mp3", "film.mp3"),
        ("-i.mp3", "-i.mp3"),
        ("😀 ünï.mp3", "😀 ünï.mp3"),
        ("<script>.mp3", "<script>.mp3"),
        ("x" * 300 + ".mp3", "x" * 251 + ".mp3"),
        ("no suffix", "no suffix"),
        ("film.mp3.", "film.mp3"),
        ("concat:a|b.mp3", "concat:a|b.mp3"),
    ],
)
def test_odd_names(admin: Client, clips: Clips, name: str, original_name: str) -> None:
    response = upload(admin, clips["sound.mp3"].read_bytes(), name)
    assert response.status_code == 302, errors(response)
    media = Media.objects.get()
    assert (media.original_name, media.state) == (original_name, State.READY)
    assert re.fullmatch(r"media/[0-9a-f]{2}/[0-9a-f]{32}(\.mp3)?", media.file.name or "")
    assert admin.get(CHANGE_LIST).status_code == 200
    page = admin.get(f"{CHANGE_LIST}{media.pk}/change/")
    assert b"<script>." not in page.content


def test_a_title_with_markup_is_text_in_the_admin(admin: Client) -> None:
    media = make_media(title="<script>alert(1)</script>")
    for path in (CHANGE_LIST, f"{CHANGE_LIST}{media.pk}/change/", f"{CHANGE_LIST}{media.pk}/delete/"):
        assert b"<script>alert" not in admin.get(path).content


def test_a_probe_that_fails_is_told_and_can_be_retried(
    admin: Client, clips: Clips, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path) -> None:
        raise ProbeFailed("The probe is out of order.")

    with monkeypatch.context() as patched:
        patched.setattr(ingest, "probe_now", fail)
        response = upload(admin, clips["silent.mp4"].read_bytes())
    assert response.status_code == 302
    media = Media.objects.get()
    assert (media.state, media.reason, media.original_name) == (
        State.FAILED,
        "The probe is out of order.",
        "film.mp4",
    )
    assert b"it cannot be played yet: The probe is out of order." in admin.get(CHANGE_LIST).content

    said = admin.post(CHANGE_LIST, {"action": "retry_probe", "_selected_action": [str(media.pk)]}, follow=True)
    media.refresh_from_db()
    assert (media.state, media.reason) == (State.READY, "")
    assert media.poster
    assert b"Film: ready" in said.content


def test_a_retry_that_fails_again_says_why(admin: Client) -> None:
    media = make_media(b"words" * 100, state=State.FAILED, title="Film")
    said = admin.post(CHANGE_LIST, {"action": "retry_probe", "_selected_action": [str(media.pk)]}, follow=True)
    assert b"Film: This file cannot be used" in said.content


def test_replacing_the_file(admin: Client, clips: Clips, django_capture_on_commit_callbacks: Any) -> None:
    media = make_clip(clips, "silent.mp4", title="Film")
    old = media.path
    with django_capture_on_commit_callbacks(execute=True):
        response = upload(
            admin, clips["sound.mp3"].read_bytes(), "new.mp3", f"{CHANGE_LIST}{media.pk}/change/", title="Film"
        )
    assert response.status_code == 302
    media.refresh_from_db()
    assert media.path != old
    assert not old.exists()
    assert (media.original_name, media.content_type, media.title) == ("new.mp3", "audio/mpeg", "Film")
    assert media.size == media.path.stat().st_size == clips["sound.mp3"].stat().st_size


def test_replacing_a_video_by_sound_takes_its_poster_away(
    admin: Client, clips: Clips, django_capture_on_commit_callbacks: Any
) -> None:
    """A picture of the former content would be shown for the new one, and its file is deleted with the old."""
    upload(admin, clips["silent.mp4"].read_bytes())
    media = Media.objects.get()
    old = Path(media.poster.path)
    assert old.exists()
    with django_capture_on_commit_callbacks(execute=True):
        upload(admin, clips["sound.mp3"].read_bytes(), "new.mp3", f"{CHANGE_LIST}{media.pk}/change/")
    media.refresh_from_db()
    assert not old.exists()
    assert not media.poster


def test_a_bad_replacement_leaves_the_item_as_it_was(
    admin: Client, clips: Clips, django_capture_on_commit_callbacks: Any
) -> None:
    media = make_clip(clips, "silent.mp4")
    before, name = stored_files(), media.file.name
    with django_capture_on_commit_callbacks(execute=True):
        response = upload(admin, b"words" * 100, path=f"{CHANGE_LIST}{media.pk}/change/")
    assert response.status_code == 415
    assert "not a video or audio file" in errors(response)
    media.refresh_from_db()
    assert (media.file.name, media.state) == (name, State.READY)
    assert stored_files() == before


def test_an_edit_without_a_file_keeps_it(admin: Client, clips: Clips, django_capture_on_commit_callbacks: Any) -> None:
    media = make_clip(clips, "silent.mp4")
    with django_capture_on_commit_callbacks(execute=True):
        response = upload(admin, b"", "", f"{CHANGE_LIST}{media.pk}/change/", title="Renamed", visibility="private")
    assert response.status_code == 302
    after = Media.objects.get()
    assert (after.title, after.visibility, after.file.name) == ("Renamed", "private", media.file.name)
    assert after.facts == media.facts
    assert after.path.exists()
    assert after.owner is None


@pytest.mark.parametrize("how", ["one", "action"])
def test_deleting_the_row_deletes_the_files(admin: Client, django_capture_on_commit_callbacks: Any, how: str) -> None:
    before = stored_files()
    media = make_media()
    with django_capture_on_commit_callbacks(execute=True):
        if how == "one":
            admin.post(f"{CHANGE_LIST}{media.pk}/delete/", {"post": "yes"})
        else:
            fields = {"action": "delete_selected", "_selected_action": [str(media.pk)], "post": "yes"}
            admin.post(CHANGE_LIST, fields)
    assert not Media.objects.exists()
    assert stored_files() == before


def staff_with(*names: str) -> Client:
    staff = make_visitor("staff")
    staff.user_permissions.set(Permission.objects.filter(codename__in=[f"{name}_media" for name in names]))
    return client_of(staff)


@pytest.mark.parametrize(
    ("owned_by", "visibility", "seen"),
    [
        ("owner", "public", True),
        ("owner", "members", True),
        ("owner", "private", False),
        ("staff", "private", True),
        (None, "private", False),
    ],
)
def test_staff_see_only_what_they_may(owned_by: str | None, visibility: str, seen: bool) -> None:
    client = staff_with("view", "change", "delete")
    people = {"owner": make_visitor("owner"), "staff": Media.owner.field.related_model.objects.get(username="staff")}
    media = make_media(title="Film", visibility=visibility, owner=people.get(owned_by or ""))
    assert (b">Film<" in client.get(CHANGE_LIST).content) is seen
    for page in ("change", "delete"):
        response = client.get(f"{CHANGE_LIST}{media.pk}/{page}/")
        assert response.status_code == (200 if seen else 302)
    fields = {"action": "retry_probe", "_selected_action": [str(media.pk)]}
    client.post(CHANGE_LIST, fields)
    media.refresh_from_db()
    assert (media.state == State.FAILED) is seen  # its bytes are no media


def test_staff_upload_for_themselves(clips: Clips) -> None:
    response = upload(staff_with("add", "view"), clips["sound.mp3"].read_bytes(), visibility="private")
    assert response.status_code == 302
    owner = Media.objects.get().owner
    assert owner is not None
    assert owner.get_username() == "staff"


@pytest.mark.parametrize(("visitor", "status"), [("anonymous", 302), ("member", 302), ("staff", 403)])
def test_who_may_not_upload(clips: Clips, visitor: str, status: int) -> None:
    before = stored_files()
    client = client_of(make_visitor(visitor))
    assert upload(client, clips["sound.mp3"].read_bytes()).status_code == status
    assert not Media.objects.exists()
    assert stored_files() == before


def test_staff_who_may_only_look_cannot_retry() -> None:
    media = make_media()
    fields = {"action": "retry_probe", "_selected_action": [str(media.pk)]}
    staff_with("view").post(CHANGE_LIST, fields)
    media.refresh_from_db()
    assert media.state == State.READY


def test_a_form_from_another_site_is_refused(clips: Clips) -> None:
    client = client_of(make_visitor("superuser"), enforce_csrf_checks=True)
    before = stored_files()
    assert upload(client, clips["sound.mp3"].read_bytes()).status_code == 403
    assert not Media.objects.exists()
    assert stored_files() == before

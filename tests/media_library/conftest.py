"""What tests above the pure floors share: rows made without an upload, visitors, and what leaks would show in."""

import functools
from pathlib import Path
from typing import Any

import psutil
import pytest
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.core.files.base import ContentFile
from django.core.management import call_command
from django.test import Client

from media_library.facts import Facts
from media_library.models import Media, State
from media_library.probe import probe_now
from mediastream import staticfiles
from mediastream.access import Visibility
from tests.media import Clips
from tests.ranges import CONTENT
from transcode import thumbnails
from transcode.derived import THUMBNAILS
from transcode.sprites import Layout

VISITORS = ("anonymous", "inactive", "member", "owner", "staff", "superuser")
FLAGS: dict[str, dict[str, bool]] = {
    "inactive": {"is_active": False},
    "staff": {"is_staff": True},
    "superuser": {"is_staff": True, "is_superuser": True},
}
CHANGE_LIST = "/admin/media_library/media/"


@pytest.fixture(autouse=True)
def static_files() -> None:
    collect_static()


@functools.cache
def collect_static() -> None:
    """Pages name their style sheet by its hash, which only collectstatic knows. Once for a session."""
    call_command("collectstatic", interactive=False, verbosity=0)
    staticfiles.known_names.cache_clear()


def make_visitor(kind: str) -> AbstractBaseUser | AnonymousUser:
    if kind == "anonymous":
        return AnonymousUser()
    return get_user_model().objects.create_user(kind, **FLAGS.get(kind, {}))


def client_of(visitor: AbstractBaseUser | AnonymousUser, **options: Any) -> Client:
    """A client with a session of the visitor's; an inactive one has a session too, which must be worth nothing."""
    client = Client(**options)
    if visitor.is_authenticated:
        client.force_login(visitor)
    return client


def make_media(content: bytes = CONTENT, **fields: Any) -> Media:
    """A ready, public row with `content` in the storage, without probe or poster."""
    values = {
        "title": "Item",
        "visibility": Visibility.PUBLIC,
        "state": State.READY,
        "content_type": "video/mp4",
        "original_name": "item.mp4",
        "size": len(content),
    }
    media = Media(**values | fields)
    media.file.save("item.mp4", ContentFile(content), save=False)
    media.save()
    return media


def make_clip(clips: Clips, name: str, **fields: Any) -> Media:
    """A row with a real clip in the storage and the probe's facts, probed once for a session."""
    path = clips[name]
    media = make_media(path.read_bytes(), original_name=name, **fields)
    state, reason = media.state, media.reason
    media.set_facts(probed(path))
    media.state, media.reason = state, reason
    media.save()
    return media


def put_thumbnails(media: Media) -> None:
    """One, as its job would."""
    folder = THUMBNAILS.draft(media.pk)
    (folder / "0.jpg").write_bytes(b"\xff\xd8")
    thumbnails.keep(media.pk, media.file.name or "", folder, Layout(2.0, 1, 160, 90, 2.0))


@functools.cache
def probed(path: Path) -> Facts:
    return probe_now(path)


def stored_files() -> set[Path]:
    """Every file in the storage and every half-made one beside it: what a refused upload must not add to."""
    folders = (Path(settings.MEDIA_ROOT), Path(settings.FILE_UPLOAD_TEMP_DIR))
    return {path for folder in folders for path in folder.rglob("*") if path.is_file()}


def child_pids() -> set[int]:
    """Our own children. Not theirs: a server that other tests started may have some at any time."""
    return {child.pid for child in psutil.Process().children()}

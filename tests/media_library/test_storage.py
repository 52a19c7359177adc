"""Stored names are what ETags stand on, so none is ever used for a second content."""

import errno
import fcntl
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.files.base import ContentFile, File
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import TemporaryUploadedFile

from media_library import storage
from media_library.storage import UploadHandler, stored_name, sweep_temporary
from tests.media_library.conftest import stored_files


class Watched(ContentFile):  # type: ignore[type-arg]
    """Content that says, piece by piece, what the storage shows meanwhile, and may fail half-way."""

    def __init__(self, target: Path, *, fails: bool) -> None:
        super().__init__(b"")
        self.target = target
        self.fails = fails
        self.shown: list[bool] = []

    def chunks(self, chunk_size: int | None = None) -> Iterator[bytes]:
        for piece in (b"one", b"two"):
            yield piece
            self.shown.append(self.target.exists())
        if self.fails:
            raise OSError("the source is gone")


def test_a_name_is_never_given_twice() -> None:
    assert len({stored_name("media", ".mp4") for _ in range(1000)}) == 1000


def test_a_name_that_is_taken_is_left_alone() -> None:
    """Storage.save picks another: the first content stays under its name."""
    name = stored_name("media", ".bin")
    first = default_storage.save(name, ContentFile(b"first"))
    second = default_storage.save(name, ContentFile(b"second"))
    assert first == name != second
    assert Path(default_storage.path(first)).read_bytes() == b"first"


def test_a_file_appears_whole() -> None:
    name = stored_name("media", ".bin")
    content = Watched(Path(default_storage.path(name)), fails=False)
    before = stored_files()
    default_storage.save(name, content)
    assert content.shown == [False, False]
    assert stored_files() - before == {content.target}
    assert content.target.read_bytes() == b"onetwo"
    assert content.target.stat().st_mode & 0o777 == 0o644


def test_a_failure_half_way_leaves_nothing() -> None:
    name = stored_name("media", ".bin")
    content = Watched(Path(default_storage.path(name)), fails=True)
    before = stored_files()
    with pytest.raises(OSError, match="the source is gone"):
        default_storage.save(name, content)
    assert content.shown == [False, False]
    assert stored_files() == before


def test_an_upload_is_stored_by_a_rename() -> None:
    """A copy of ten gigabytes would take minutes and twice the room; the inode shows that none was made."""
    upload = TemporaryUploadedFile("x.mp4", "video/mp4", 5, None)
    upload.write(b"bytes")
    upload.flush()
    inode = os.stat(upload.temporary_file_path()).st_ino
    before = stored_files()
    name = default_storage.save(stored_name("media", ".mp4"), upload)
    upload.close()
    stored = Path(default_storage.path(name))
    assert stored.stat().st_ino == inode
    assert stored.stat().st_mode & 0o777 == 0o644
    assert len(stored_files()) == len(before)


def test_a_local_file_is_copied_and_stays(tmp_path: Path) -> None:
    original = tmp_path / "x.mp4"
    original.write_bytes(b"bytes")
    with original.open("rb") as content:
        name = default_storage.save(stored_name("media", ".mp4"), File(content))
    assert original.read_bytes() == Path(default_storage.path(name)).read_bytes() == b"bytes"


def held_by_another_process(path: Path) -> "subprocess.Popen[bytes]":
    """As an upload in another worker, or a file that a command adds, holds it."""
    code = "import sys; from media_library.storage import hold; f = open(sys.argv[1], 'wb'); hold(f.fileno()); "
    code += "print(flush=True); sys.stdin.read()"
    holder = subprocess.Popen([sys.executable, "-c", code, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"\n"
    return holder


def test_the_sweep_takes_at_once_what_a_killed_process_left_and_nothing_in_use() -> None:
    folder = Path(settings.FILE_UPLOAD_TEMP_DIR)
    killed, held = folder / "killed.upload", folder / "held.upload"
    first, second = held_by_another_process(killed), held_by_another_process(held)
    with first, second:
        sweep_temporary()
        assert killed.exists()
        first.kill()
        first.wait()
        sweep_temporary()
        assert not killed.exists()
        assert held.exists()
    sweep_temporary()
    assert not held.exists()


def test_uploads_and_drafts_are_held(tmp_path: Path) -> None:
    handler = UploadHandler()
    handler.new_file("file", "x.mp4", "video/mp4", 5)
    descriptor, draft = storage.draft()
    sweep_temporary()
    assert Path(handler.file.temporary_file_path()).exists()
    assert Path(draft).exists()
    handler.file.close()
    os.close(descriptor)
    sweep_temporary()
    assert not Path(draft).exists()


def test_a_draft_that_the_sweep_took_before_it_was_held_is_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def swept_once(**where: Any) -> tuple[int, str]:
        descriptor, path = mkstemp(**where)
        made.append(path)
        if len(made) == 1:
            sweep_temporary()
        return descriptor, path

    mkstemp = tempfile.mkstemp
    monkeypatch.setattr(tempfile, "mkstemp", swept_once)
    name = default_storage.save(stored_name("media", ".bin"), ContentFile(b"bytes"))
    assert len(made) == 2
    assert Path(default_storage.path(name)).read_bytes() == b"bytes"


def test_without_locks_the_sweep_goes_by_age(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", fail)
    folder = Path(settings.FILE_UPLOAD_TEMP_DIR)
    left, young = folder / "left.upload", folder / "young.upload"
    for path in (left, young):
        path.write_bytes(b"x")
    os.utime(left, (time.time() - 4000, time.time() - 4000))
    try:
        sweep_temporary()
        assert not left.exists()
        assert young.exists()
    finally:
        young.unlink()

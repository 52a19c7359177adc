"""Where stored files lie: django-storages' seam, with local files by default.

Settings name the backend (`STORAGES`); code goes through `django.core.files.storage.default_storage`.
Stored names are random and never used twice: they are what ETags stand on.

Temporary files lie in one folder for all processes: workers, of which a reload has two for a while, and commands. Who
writes one holds a lock on it, which the kernel drops with its process. So what a kill -9 has left, gigabytes perhaps,
goes when the next worker starts, and nothing that is being written does.
"""

import fcntl
import os
import secrets
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.files.base import File
from django.core.files.storage import FileSystemStorage
from django.core.files.uploadhandler import TemporaryFileUploadHandler

LEFT_BEHIND = 3600.0  # seconds without a change, where the file system knows no locks


class LocalStorage(FileSystemStorage):
    """Files in a folder, each put in place whole by a rename, or not at all."""

    def _save(self, name: str, content: "File[Any]") -> str:
        """Copy to a temporary file of the same file system first, unless `content` is one already."""
        if hasattr(content, "temporary_file_path"):
            return str(super()._save(name, content))  # type: ignore[misc]
        target = Path(self.path(name))
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor, path = draft()
        try:
            with os.fdopen(descriptor, "wb") as file:
                for chunk in content.chunks():
                    file.write(chunk)
                os.fchmod(file.fileno(), 0o644)
                file.flush()
                os.rename(path, target)
        except BaseException:
            os.unlink(path)
            raise
        return name


class UploadHandler(TemporaryFileUploadHandler):
    """Django's, whose temporary files are held."""

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        while True:
            super().new_file(*args, **kwargs)
            assert self.file.file is not None
            if hold(self.file.file.fileno()):
                return


def draft() -> tuple[int, str]:
    """A temporary file that is held: its descriptor and path."""
    while True:
        descriptor, path = tempfile.mkstemp(dir=settings.FILE_UPLOAD_TEMP_DIR)
        if hold(descriptor):
            return descriptor, path
        os.close(descriptor)


def hold(descriptor: int) -> bool:
    """Keep the sweep from this temporary file until it is closed; False if the sweep was quicker."""
    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    return os.fstat(descriptor).st_nlink > 0


def sweep_temporary() -> None:
    """Remove what nobody holds."""
    for path in Path(settings.FILE_UPLOAD_TEMP_DIR).iterdir():
        with suppress(OSError):
            if path.is_file():
                _remove_unless_held(path)


def _remove_unless_held(path: Path) -> None:
    """Under the lock to the end: who gets it next sees that the file is gone."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        except OSError:
            if time.time() - os.fstat(file.fileno()).st_mtime < LEFT_BEHIND:
                return
        path.unlink()


def stored_name(folder: str, suffix: str) -> str:
    """A name that has not been used and will not be: 128 random bits."""
    token = secrets.token_hex(16)
    return f"{folder}/{token[:2]}/{token}{suffix}"

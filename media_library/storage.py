"""Where stored files lie: django-storages' seam, with local files by default.

Settings name the backend (`STORAGES`); code goes through `django.core.files.storage.default_storage`.
Stored names are random and never used twice: they are what ETags stand on.
"""

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

LEFT_BEHIND = 3600.0  # seconds


class LocalStorage(FileSystemStorage):
    """Files in a folder, each put in place whole by a rename, or not at all."""

    def _save(self, name: str, content: "File[Any]") -> str:
        """Copy to a temporary file of the same file system first, unless `content` is one already."""
        if hasattr(content, "temporary_file_path"):
            return str(super()._save(name, content))  # type: ignore[misc]
        target = Path(self.path(name))
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor, draft = tempfile.mkstemp(dir=settings.FILE_UPLOAD_TEMP_DIR)
        try:
            with os.fdopen(descriptor, "wb") as file:
                for chunk in content.chunks():
                    file.write(chunk)
                os.fchmod(file.fileno(), 0o644)
            os.rename(draft, target)
        except BaseException:
            os.unlink(draft)
            raise
        return name


def sweep_temporary() -> None:
    """Remove what a kill -9 left of uploads. A file that is being written is younger than LEFT_BEHIND."""
    for path in Path(settings.FILE_UPLOAD_TEMP_DIR).iterdir():
        with suppress(OSError):
            if path.is_file() and time.time() - path.stat().st_mtime > LEFT_BEHIND:
                path.unlink()


def stored_name(folder: str, suffix: str) -> str:
    """A name that has not been used and will not be: 128 random bits."""
    token = secrets.token_hex(16)
    return f"{folder}/{token[:2]}/{token}{suffix}"

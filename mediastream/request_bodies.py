"""How large a request body may be, decided before Django reads a byte of it.

Django spools any POST to any URL into a temporary file first and asks questions later. So both handlers
ask here: small bodies for everyone, large ones only on upload addresses and from who may upload, and
never more than the disk can take.
"""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from mediastream.errors import BadInput, BodyTooLarge, DiskFull, Fault, SignInNeeded

SMALL_BODY = 1024 * 1024  # bytes: any form of ours but an upload
DISK_RESERVE = 256 * 1024 * 1024  # bytes an upload leaves free for the database and logs
FORM_OVERHEAD = 64 * 1024  # bytes of multipart framing and other fields around an uploaded file
COPIES = 2  # the body is spooled once, and its file part written once more before the rename


@dataclass(frozen=True)
class Bounds:
    """`max_upload`: bytes of one uploaded file; `upload_paths`: where one may be sent; `temporary`: a folder."""

    max_upload: int
    upload_paths: tuple[re.Pattern[str], ...]
    temporary: Path

    def takes_uploads(self, path: str) -> bool:
        return any(pattern.fullmatch(path) for pattern in self.upload_paths)

    def limit(self, path: str, *, may_upload: bool) -> int:
        """Bytes that may be received for `path`."""
        return self.max_upload + FORM_OVERHEAD if may_upload and self.takes_uploads(path) else SMALL_BODY

    def check(self, path: str, length: int, *, may_upload: bool) -> None:
        """Raises the Fault to answer a body of `length` bytes, declared or received, with."""
        if length > self.limit(path, may_upload=may_upload):
            raise self._refusal(path, may_upload=may_upload)

    def check_room(self, length: int) -> None:
        """Raises DiskFull if a body of `length` bytes will not fit."""
        if length > SMALL_BODY and length * COPIES + DISK_RESERVE > shutil.disk_usage(self.temporary).free:
            raise DiskFull("There is not enough room on the server's disk for this upload; delete something first.")

    def _refusal(self, path: str, *, may_upload: bool) -> Fault:
        if not self.takes_uploads(path):
            return BodyTooLarge(f"This address takes request bodies of up to {SMALL_BODY} bytes.")
        if not may_upload:
            return SignInNeeded("Sign in with an account that may upload, then send the file again.")
        return BodyTooLarge(f"Files of up to {self.max_upload} bytes can be uploaded here.")


def content_length(value: str | None) -> int:
    """The declared length, 0 if there is none. Raises BadInput unless it is digits alone (RFC 9110 section 8.6)."""
    if value is None or value == "":
        return 0
    if not (value.isascii() and value.isdigit() and len(value) < 20):
        raise BadInput("The Content-Length header is not a number.")
    return int(value)

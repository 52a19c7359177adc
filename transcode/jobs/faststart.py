"""Does an MP4's index come before its pictures? Read from the top-level boxes alone (ISO 14496-12, section 4.2)."""

import os
from pathlib import Path

MOST = 1000  # boxes looked at: a fragmented file has thousands, and its moov among the first


def index_is_first(path: Path) -> bool:
    """False for what is no MP4, too. Raises OSError."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        at = 0
        for _ in range(MOST):
            head = os.pread(file.fileno(), 16, at)
            if len(head) < 8:
                return False
            kind, length = head[4:8], _length(head, size - at)
            if kind in (b"moov", b"mdat") or length < 8:
                return kind == b"moov"
            at += length
    return False


def _length(head: bytes, rest: int) -> int:
    """Of a box: 1 says that it stands after the kind, in 64 bits; 0 that the box goes to the end of the file."""
    length = int.from_bytes(head[:4], "big")
    if length == 1:
        return int.from_bytes(head[8:16], "big") if len(head) == 16 else 0
    return length or rest

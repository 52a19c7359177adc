from pathlib import Path

import pytest

from transcode.jobs.faststart import index_is_first


def box(kind: bytes, size: int = 0) -> bytes:
    return (8 + size).to_bytes(4, "big") + kind + bytes(size)


LONG = (1).to_bytes(4, "big") + b"free" + (20).to_bytes(8, "big") + bytes(4)


@pytest.mark.parametrize(
    ("content", "first"),
    [
        (box(b"ftyp", 8) + box(b"moov", 100) + box(b"mdat", 9), True),
        (box(b"ftyp", 8) + box(b"mdat", 9) + box(b"moov", 100), False),
        (box(b"ftyp", 8) + LONG + box(b"moov"), True),
        (box(b"ftyp") + (0).to_bytes(4, "big") + b"free" + box(b"moov"), False),  # a box to the end of the file
        (b"", False),
        (b"words" * 10, False),
        ((4).to_bytes(4, "big") + b"ftyp" + box(b"moov"), False),  # shorter than its own head
        ((1).to_bytes(4, "big") + b"ftyp", False),
        (box(b"free") * 5000 + box(b"moov"), False),
    ],
)
def test_where_the_index_is(tmp_path: Path, content: bytes, first: bool) -> None:
    path = tmp_path / "x.mp4"
    path.write_bytes(content)
    assert index_is_first(path) is first

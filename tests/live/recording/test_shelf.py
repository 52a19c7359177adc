"""What is kept and what goes; and a disk that takes no more."""

import errno
import os
from pathlib import Path

import pytest

from mediastream import bus
from mediastream.live.recording import draft as drafts
from mediastream.live.recording import recorders, segments
from mediastream.live.recording.boxes import Mp4Invalid
from mediastream.live.recording.draft import Draft
from mediastream.live.recording.names import DAY
from mediastream.live.recording.shelf import (
    HOUR,
    Keep,
    Shelf,
    cameras,
    folder_of,
    heads,
    listed,
    path_of,
    remove_all,
    sweep_removed,
)
from tests.live.recording.pieces import START, encoded, fill, groups, pieces

PLENTY = 10**12


def starts(folder: Path) -> list[int]:
    return [segment.start for segment in listed(folder, 0, START + 10 * DAY)[-10:]]


def all_starts(shelf: Shelf) -> list[int]:
    return [segment.start for segment, _ in shelf._kept]


def test_what_is_too_old_goes(tmp_path: Path) -> None:
    times = [START, START + HOUR, START + 2 * HOUR]
    shelf = fill(tmp_path, times)
    assert shelf.retain(Keep(2, PLENTY), times[0] + 2_000 + 2 * HOUR) == 0
    assert shelf.retain(Keep(2, PLENTY), times[0] + 2_001 + 2 * HOUR) == 1
    assert all_starts(shelf) == all_starts(Shelf(tmp_path)) == times[1:]


def test_what_is_too_much_goes_the_oldest_first(tmp_path: Path) -> None:
    times = [START, START + 2_000, START + 4_000]
    shelf = fill(tmp_path, times)
    total = shelf.bytes
    assert total == Shelf(tmp_path).bytes == sum(path.stat().st_size for path in tmp_path.rglob("*.mp4"))
    assert shelf.retain(Keep(24, total), START + HOUR) == 0
    assert shelf.retain(Keep(24, total - 1), START + HOUR) == 1
    assert all_starts(shelf) == times[1:]
    assert shelf.retain(Keep(24, 1), START + HOUR) == 2
    assert shelf.bytes == 0
    assert list(tmp_path.iterdir()) == []  # the folder of the day too


def test_a_day_goes_with_its_last_segment_and_only_then(tmp_path: Path) -> None:
    shelf = fill(tmp_path, [START, START + 2_000, START + DAY])
    days = sorted(path.name for path in tmp_path.iterdir())
    shelf.retain(Keep(24, PLENTY), START + DAY + 2_500)
    assert sorted(path.name for path in tmp_path.iterdir()) == days
    shelf.retain(Keep(24, PLENTY), START + DAY + 5_000)
    assert [path.name for path in tmp_path.iterdir()] == days[1:]


def test_who_reads_a_segment_that_goes_reads_on(tmp_path: Path) -> None:
    shelf = fill(tmp_path, [START])
    [segment] = listed(tmp_path, START, START + 1)
    path = path_of(tmp_path, segment)
    content = path.read_bytes()
    with path.open("rb") as file:
        assert shelf.retain(Keep(24, 1), START) == 1
        assert not path.exists()
        assert file.read() == content


def test_what_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    shelf = fill(tmp_path, [START])
    [segment] = listed(tmp_path, START, START + 1)
    note = tmp_path / segment.day / "note.txt"
    note.write_text("mine")
    shelf.retain(Keep(24, 1), START)
    assert note.read_text() == "mine"


def test_recordings_go_with_their_camera_and_no_other(tmp_path: Path) -> None:
    for camera in (1, 12):
        fill(folder_of(tmp_path, camera), [START])
    remove_all(tmp_path, 1)
    remove_all(tmp_path, 7)
    assert cameras(tmp_path) == [12]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["12"]


def test_a_removal_that_a_crash_cut_short_is_ended(tmp_path: Path) -> None:
    fill(tmp_path / "1-abcd.removed", [START])
    sweep_removed(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert cameras(tmp_path / "nowhere") == []


def test_the_sweep_looks_after_cameras_that_nobody_records(tmp_path: Path) -> None:
    for camera in (1, 2, 3):
        fill(folder_of(tmp_path, camera), [START])
    (folder_of(tmp_path, 1) / f"{START + 9000}.part").write_bytes(b"")
    held = bus.Lease.take("recording-2")
    assert held is not None
    try:
        recorders.sweep(tmp_path, {1: Keep(1, PLENTY), 2: Keep(1, PLENTY)})
    finally:
        held.release()
    assert list(folder_of(tmp_path, 1).iterdir()) == []
    assert Shelf(folder_of(tmp_path, 2)).bytes > 0  # another process records it
    assert Shelf(folder_of(tmp_path, 3)).bytes > 0  # no camera of this database


def test_a_full_disk_costs_the_fragment_and_not_the_segment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the kernel does it: a part of what is written is taken, then no more."""
    draft = Draft(tmp_path, encoded()[0], START, 0)
    first, second, *_ = groups(pieces())
    draft.add(first)
    real, room = os.pwrite, [3_000]

    def pwrite(fd: int, data: bytes, offset: int) -> int:
        if room[0] == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        taken = min(len(data), room[0])
        room[0] -= taken
        return real(fd, data[:taken], offset)

    with monkeypatch.context() as patch:
        patch.setattr(drafts.os, "pwrite", pwrite)
        with pytest.raises(OSError, match="No space"):
            draft.add(second)
    made = draft.finish()
    assert made is not None
    segment, size = made
    assert segment.duration == 1000
    assert path_of(tmp_path, segment).stat().st_size == size


def test_the_reserve_stays_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room = [1000]
    monkeypatch.setattr(drafts, "free", lambda _: room[0])
    draft = Draft(tmp_path, encoded()[0], START, 1000)
    room[0] = 999
    with pytest.raises(OSError, match="No space"):
        draft.add(groups(pieces())[0])
    draft.discard()
    with pytest.raises(OSError, match="No space"):
        Draft(tmp_path, encoded()[0], START, 1000)
    assert list(tmp_path.iterdir()) == []


def test_a_draft_of_nothing_leaves_nothing(tmp_path: Path) -> None:
    assert Draft(tmp_path, encoded()[0], START, 0).finish() is None
    assert list(tmp_path.iterdir()) == []


def test_a_draft_takes_so_many_fragments_and_no_more(tmp_path: Path) -> None:
    """Its index has no more room."""
    draft = Draft(tmp_path, encoded()[0], START, 0)
    group = groups(pieces())[0]
    while not draft.full:
        draft.add(group)
    with pytest.raises(Mp4Invalid, match="no key frame"):
        draft.add(group)
    made = draft.finish()
    assert made is not None
    [(_, head)] = heads(tmp_path, [made[0]])
    assert (len(head.fragments), head.size) == (segments.MOST, made[1])

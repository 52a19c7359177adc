"""A recorder over a scripted camera: real H.264, and what goes wrong with cameras and disks."""

import asyncio
import errno
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from mediastream import bus
from mediastream.errors import EncoderFailed
from mediastream.live.recording import draft as drafts
from mediastream.live.recording import recorder as recorders
from mediastream.live.recording.draft import Draft
from mediastream.live.recording.names import Segment
from mediastream.live.recording.playing import look
from mediastream.live.recording.recorder import Order, Piece, Recorder, State
from mediastream.live.recording.shelf import Keep, listed
from tests.live.recording.pieces import START, fill, pieces
from tests.live.recording.test_files import times, whole

Script = Sequence["Piece | Exception | float | None"]
FOREVER = 3600.0
PLENTY = Keep(24, 10**12)


class Played:
    """Gives a script: pieces; an exception is raised, a number waited; None ends it."""

    def __init__(self, script: Script) -> None:
        self._script = iter(script)

    async def take(self) -> Piece | None:
        for step in self._script:
            if isinstance(step, Exception):
                raise step
            if not isinstance(step, float):
                return step
            await asyncio.sleep(step)
        await asyncio.sleep(FOREVER)
        return None

    def trouble(self) -> str:
        return "it is dark"


class Recording:
    """A recorder at work in a folder; each script is for one opening of its source."""

    def __init__(self, folder: Path, *scripts: Script, keep: Keep = PLENTY, seconds: float = 3.0) -> None:
        self.folder = folder
        self._scripts = iter(scripts)
        self.recorder = Recorder(Order(987, folder, keep, seconds, 0), self._open)
        self.task = asyncio.create_task(self.recorder.run())

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[Played]:
        yield Played(next(self._scripts, ()))

    def segments(self) -> list[Segment]:
        return listed(self.folder, START - 10_000, START + 3_600_000)

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not holds():
                assert not self.task.done()
                await asyncio.sleep(0.01)

    async def end(self) -> list[Segment]:
        self.task.cancel()
        async with asyncio.timeout(20):
            await asyncio.gather(self.task, return_exceptions=True)
        assert self.task.cancelled()
        assert list(self.folder.glob("*.part")) == []
        return self.segments()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorders, "RETRY", 0.05)
    monkeypatch.setattr(recorders, "LEASE_RETRY", 0.05)
    monkeypatch.setattr(recorders, "QUIET", 0.3)


@pytest.fixture(autouse=True)
def old_times_are_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what the scripts record, nothing is too old."""
    monkeypatch.setattr(recorders.time, "time", lambda: START / 1000)


async def test_segments_are_cut_at_key_frames_and_join_without_a_gap(tmp_path: Path) -> None:
    recording = Recording(tmp_path, [*pieces(), None])
    await recording.until(lambda: len(recording.segments()) == 4)
    found = await recording.end()
    assert [segment.duration for segment in found] == [3000, 3000, 3000, 3000]
    assert [segment.start for segment in found] == [START + 3000 * number for number in range(4)]
    assert len(times(whole(look(tmp_path, START, START + 12_000)))) == 300


async def test_what_is_open_at_the_end_is_finished(tmp_path: Path) -> None:
    recording = Recording(tmp_path, pieces()[:60])
    await recording.until(lambda: len(recording.recorder._writing.group.rows) == 10)
    assert recording.recorder.condition.state is State.RECORDING
    [segment] = await recording.end()
    assert segment.duration == 2400
    assert len(times(whole(look(tmp_path, START, START + 1)))) == 60


async def test_it_records_between_two_segments_too(tmp_path: Path) -> None:
    """Where each group of pictures is a segment, none is ever half written."""
    recording = Recording(tmp_path, pieces()[:60], seconds=1.0)
    await recording.until(lambda: recording.recorder.condition.state is State.RECORDING)
    await recording.until(lambda: len(recording.segments()) == 2)
    assert recording.recorder.condition.state is State.RECORDING
    await recording.end()


async def test_it_begins_with_a_key_frame(tmp_path: Path) -> None:
    recording = Recording(tmp_path, [*pieces()[10:80], None])
    await recording.until(lambda: recording.recorder.condition.state is State.WAITING and bool(recording.segments()))
    [segment] = await recording.end()
    assert (segment.start, segment.duration) == (START + 1000, 2200)


async def test_where_pictures_are_missing_a_segment_ends(tmp_path: Path) -> None:
    """Those up to the next key frame cannot be decoded, and are left out."""
    made = pieces()
    recording = Recording(tmp_path, [*made[:60], *made[110:200], None])
    await recording.until(lambda: len(recording.segments()) == 2)
    first, second = await recording.end()
    assert (first.start, first.duration) == (START, 2400)
    assert second.start == START + 5000
    assert len(times(whole(look(tmp_path, START, START + 12_000)))) == 60 + 75


async def test_another_size_begins_another_segment(tmp_path: Path) -> None:
    later = pieces(size="640x360", at=START / 1000 + 1)
    recording = Recording(tmp_path, [*pieces()[:25], *later[:25], None])
    await recording.until(lambda: len(recording.segments()) == 2)
    assert [segment.duration for segment in await recording.end()] == [1000, 1000]


async def test_jitter_makes_no_overlap(tmp_path: Path) -> None:
    made = [
        Piece(piece.init, piece.data, piece.time, piece.duration, piece.captured - (0.2 if number >= 75 else 0))
        for number, piece in enumerate(pieces())
    ]
    recording = Recording(tmp_path, [*made[:75], None], made[75:])
    await recording.until(lambda: len(recording.segments()) >= 2)
    first, second, *_ = await recording.end()
    assert second.start == first.end == START + 3000


async def test_a_camera_that_goes_quiet_has_its_segment_ended(tmp_path: Path) -> None:
    recording = Recording(tmp_path, pieces()[:50])
    await recording.until(lambda: recording.recorder.condition.state is State.WAITING and bool(recording.segments()))
    assert recording.recorder.condition.detail == "it is dark"
    assert len(recording.segments()) == 1
    await recording.end()


async def test_a_source_that_fails_is_opened_again(tmp_path: Path) -> None:
    later = [*pieces(at=START / 1000 + 60)[:25], None]
    recording = Recording(tmp_path, [*pieces()[:25], EncoderFailed("it broke off", 5)], later)
    await recording.until(lambda: len(recording.segments()) == 2)
    assert [segment.start for segment in await recording.end()] == [START, START + 60_000]


async def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    made = pieces()
    bad = Piece(made[0].init, b"\0\0\0\x08moof", 0, 0, START / 1000)
    recording = Recording(tmp_path, [bad])
    await recording.until(lambda: recording.recorder.condition.state is State.FAILED)
    assert "there is no traf" in recording.recorder.condition.detail
    await recording.end()


async def test_a_full_disk_is_said_and_recording_goes_on_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = [10**12]
    monkeypatch.setattr(drafts, "free", lambda _: room[0])
    monkeypatch.setattr(recorders, "free", lambda _: room[0])
    real = Draft.add

    def add(self: Draft, group: object) -> None:
        if self.seconds >= 2:
            room[0] = -1
        real(self, group)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Draft, "add", add)
        recording = Recording(tmp_path, pieces(), pieces(at=START / 1000 + 60))
        await recording.until(lambda: recording.recorder.condition.state is State.NO_ROOM)
    assert "No space" in recording.recorder.condition.detail
    [segment] = recording.segments()
    assert segment.duration == 2000
    room[0] = recorders.MARGIN - 1
    await asyncio.sleep(0.3)
    assert recording.recorder.condition.state is State.NO_ROOM
    room[0] = recorders.MARGIN
    await recording.until(lambda: len(recording.segments()) >= 4)
    assert (await recording.end())[1].start == START + 60_000


async def test_a_disk_that_fails_at_the_end_of_a_segment_loses_nothing_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(drafts, "put_in_place", _refuse)
        recording = Recording(tmp_path, pieces()[:110], ())
        await recording.until(lambda: recording.recorder.condition.state is State.FAILED)
    await recording.until(lambda: len(recording.segments()) == 1)
    assert [segment.duration for segment in await recording.end()] == [3000]


def _refuse(*_: object) -> None:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


async def test_a_disk_that_fails_while_it_is_ended_holds_up_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording = Recording(tmp_path, pieces()[:30])
    await recording.until(lambda: bool(list(tmp_path.glob("*.part"))))
    monkeypatch.setattr(drafts, "put_in_place", _refuse)
    recording.task.cancel()
    async with asyncio.timeout(10):
        await asyncio.gather(recording.task, return_exceptions=True)
    assert recording.task.cancelled()


async def test_retention_runs_as_segments_end_and_at_the_start(tmp_path: Path) -> None:
    before = fill(tmp_path, [START - 100_000])
    keep = Keep(24, 2 * before.bytes)
    recording = Recording(tmp_path, pieces(), keep=keep, seconds=2.0)
    await recording.until(lambda: recording.recorder.condition.state is State.RECORDING)
    await recording.until(lambda: START + 8000 in {segment.start for segment in recording.segments()})
    found = await recording.end()
    assert listed(tmp_path, START - 110_000, START) == []
    assert sum(path.stat().st_size for path in tmp_path.rglob("*.mp4")) <= keep.bytes
    assert found[-1].end > START + 8000


async def test_one_process_records_and_the_next_takes_over(tmp_path: Path) -> None:
    held = bus.Lease.take("recording-987")
    assert held is not None
    recording = Recording(tmp_path, pieces())
    await recording.until(lambda: recording.recorder.condition.state is State.ELSEWHERE)
    assert not list(tmp_path.iterdir())
    held.release()
    await recording.until(lambda: recording.recorder.condition.state is State.RECORDING)
    await recording.end()
    again = bus.Lease.take("recording-987")
    assert again is not None
    again.release()


async def test_a_folder_that_is_taken_away_is_not_made_again(tmp_path: Path) -> None:
    """Its camera was deleted; until the recorder hears of it, it fails."""
    folder = tmp_path / "987"
    recording = Recording(folder, [*pieces()[:30], 0.2, *pieces()[30:]])
    await recording.until(lambda: bool(list(folder.glob("*.part"))))
    folder.rename(tmp_path / "gone")
    await recording.until(lambda: recording.recorder.condition.state is State.FAILED)
    recording.task.cancel()
    await asyncio.gather(recording.task, return_exceptions=True)

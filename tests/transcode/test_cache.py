"""What FFmpeg has made, within its bound: whole or not there, the oldest goes first, what is in use stays."""

import asyncio
import errno
import secrets
from pathlib import Path

import pytest

from mediastream.errors import DiskFull
from transcode import cache
from transcode.cache import Cache


async def test_the_bound_holds_at_every_moment(tmp_path: Path) -> None:
    kept = Cache(tmp_path, 100)
    for number in range(30):
        await kept.put(f"a/{number}", b"x" * 30)
        assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) == kept.bytes <= 100
    assert [number for number in range(30) if kept.has(f"a/{number}")] == [27, 28, 29]


async def test_the_least_recently_used_goes_first(tmp_path: Path) -> None:
    kept = Cache(tmp_path, 90)
    for name in "abc":
        await kept.put(name, b"x" * 30)
    assert await kept.find("a") == tmp_path / "a"
    await kept.put("d", b"x" * 30)
    assert [name for name in "abcd" if kept.has(name)] == ["a", "c", "d"]


async def test_what_is_pinned_stays_and_what_finds_no_room_is_refused(tmp_path: Path) -> None:
    kept = Cache(tmp_path, 60)
    kept.pin("a")
    kept.pin("b")
    await kept.put("a", b"x" * 30)
    await kept.put("b", b"x" * 30)
    with pytest.raises(DiskFull, match="MEDIASTREAM_CACHE"):
        await kept.put("c", b"x" * 30)
    kept.unpin("a")
    await kept.put("c", b"x" * 30)
    assert not kept.has("a")
    assert kept.bytes == 60


async def test_many_at_once_find_the_room_there_is(tmp_path: Path) -> None:
    kept = Cache(tmp_path, 100)
    for _ in range(20):
        await asyncio.gather(*(kept.put(secrets.token_hex(4), b"x" * 30) for _ in range(8)))
        assert kept.bytes == sum(path.stat().st_size for path in tmp_path.iterdir()) == 90


async def test_who_is_cancelled_leaves_nothing_uncounted(tmp_path: Path) -> None:
    kept = Cache(tmp_path, 100)
    await kept.ready()
    for number in range(20):
        putting = asyncio.ensure_future(kept.put(f"{number}", b"x" * 30))
        for _ in range(number % 4):
            await asyncio.sleep(0)
        putting.cancel()
    await kept.settled()
    assert kept.bytes == sum(path.stat().st_size for path in tmp_path.iterdir()) <= 90


async def test_what_is_spared_goes_last_but_goes(tmp_path: Path) -> None:
    kept = Cache(tmp_path, 90)
    kept.spare("a")
    for name in "abcd":
        await kept.put(name, b"x" * 30)
    assert [name for name in "abcd" if kept.has(name)] == ["a", "c", "d"]
    assert kept.crowded
    await kept.put("e", b"x" * 90)
    assert [name for name in "acde" if kept.has(name)] == ["e"]
    kept.unspare("a")
    assert not kept.crowded


async def test_a_start_sweeps_halves_and_what_is_over_the_bound(tmp_path: Path) -> None:
    before = Cache(tmp_path, 1000)
    for number in range(5):
        await before.put(f"f/{number}", b"x" * 100)
    (tmp_path / "f" / ".draft-1").write_bytes(b"half")
    after = Cache(tmp_path, 300)
    await after.ready()
    assert len(list((tmp_path / "f").iterdir())) == 3
    assert after.bytes == 300


async def test_a_file_somebody_deleted_is_made_anew(tmp_path: Path) -> None:
    kept = Cache(tmp_path, 1000)
    (await kept.put("a", b"x")).unlink()
    assert await kept.find("a") is None
    assert kept.bytes == 0
    assert (await kept.put("a", b"y")).read_bytes() == b"y"


async def test_a_full_disk_gives_up_the_old_for_the_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Cache(tmp_path, 1000)
    await kept.put("old", b"x")
    write = cache._write

    def full(path: Path, data: bytes) -> None:
        if (tmp_path / "old").exists():
            raise OSError(errno.ENOSPC, "no space")
        write(path, data)

    monkeypatch.setattr(cache, "_write", full)
    await kept.put("new", b"y")
    assert [name for name in ("old", "new") if kept.has(name)] == ["new"]
    assert kept.bytes == 1


async def test_a_disk_that_stays_full_is_an_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(cache, "_write", full)
    kept = Cache(tmp_path, 1000)
    with pytest.raises(DiskFull, match="disk is full"):
        await kept.put("a", b"x")
    assert (kept.bytes, kept.has("a")) == (0, False)

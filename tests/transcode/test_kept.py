"""`stream.mp4` a second time, and for many at once: one encode, and then a plain file."""

import io
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import pytest
from django.conf import LazySettings
from django.test import Client

from mediastream import homeloop
from tests.media import Clips
from tests.media_library.conftest import child_pids, make_clip
from tests.transcode.assembled import fetch
from transcode import hls, registry, shared

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def fresh(tmp_path: Path, settings: LazySettings) -> Iterator[Path]:
    settings.TRANSCODE_CACHE = tmp_path / "cache"
    for known in (hls.store, hls.sessions):
        known.cache_clear()
    before = child_pids()
    yield tmp_path / "cache"
    homeloop.call(hls.close_all(), 20)
    assert not shared._known
    assert registry.running() == registry.running(light=True) == 0
    assert child_pids() <= before
    assert not list((tmp_path / "cache").rglob(".draft-*"))
    for known in (hls.store, hls.sessions):
        known.cache_clear()


def kept(folder: Path) -> list[Path]:
    return list(folder.rglob("stream-*.mp4"))


@pytest.mark.parametrize(("clip", "query"), [("h264.mp4", "?profile=360p"), ("h264.mkv", ""), ("sound.mp3", "")])
def test_the_second_play_is_a_file_of_the_same_bytes(
    client: Client, clips: Clips, fresh: Path, clip: str, query: str
) -> None:
    path = f"/media/{make_clip(clips, clip).pk}/stream.mp4{query}"
    assert client.head(path)["Accept-Ranges"] == "none"
    first = client.get(path)
    assert first["Accept-Ranges"] == "none"
    whole = b"".join(first)
    first.close()
    again = client.get(path)
    assert again["Accept-Ranges"] == "bytes"
    assert again["Content-Type"] == first["Content-Type"]
    assert int(again["Content-Length"]) == len(whole)
    assert b"".join(again) == whole
    again.close()
    part = client.get(path, headers={"Range": "bytes=1000-1999", "If-Range": again["ETag"]})
    assert (part.status_code, b"".join(part)) == (206, whole[1000:2000])
    part.close()
    assert client.get(path, headers={"If-None-Match": again["ETag"]}).status_code == 304
    head = client.head(path)
    assert (head["Content-Length"], head["ETag"]) == (again["Content-Length"], again["ETag"])
    [file] = kept(fresh)
    file.unlink()
    assert fetch(client, path)[4:8] == b"ftyp"


def test_another_profile_start_or_file_is_another(client: Client, clips: Clips, fresh: Path) -> None:
    base = f"/media/{make_clip(clips, 'silent.mp4').pk}/stream.mp4"
    fetch(client, f"{base}?profile=360p")
    for query in ("?profile=480p", "?profile=360p&start=1", ""):
        response = client.get(base + query)
        assert response["Accept-Ranges"] == "none"
        response.close()
    assert len(kept(fresh)) == 1  # none of those was read to its end


@pytest.mark.parametrize(
    ("clip", "query", "kinds"),
    [
        ("mpeg4.avi", "profile=360p", ["video", "audio"]),
        ("h264.mkv", "", ["video", "audio"]),
        ("silent.mp4", "profile=360p", ["video"]),
        ("sound.mp3", "", ["audio"]),
    ],
)
def test_a_seek_in_what_is_kept_encodes_nothing(
    client: Client, clips: Clips, clip: str, query: str, kinds: list[str]
) -> None:
    path = f"/media/{make_clip(clips, clip).pk}/stream.mp4?{query}"
    fetch(client, path)
    response = client.get(f"{path}&start=1.5")
    assert (registry.running(), registry.running(light=True)) == (0, 1)
    content = b"".join(response)
    response.close()
    with av.open(io.BytesIO(content)) as container:
        assert [stream.type for stream in container.streams] == kinds
        frames: list[Any] = list(container.decode(container.streams[0]))  # type: ignore[arg-type]
    length = 10.0 if len(kinds) == 2 else 3.0
    assert float(frames[-1].time or 0) == pytest.approx(length - 1.5, abs=0.1)
    assert float(frames[0].time or 0) == pytest.approx(0, abs=0.03)


def test_what_is_merely_copied_is_not_kept(client: Client, clips: Clips, fresh: Path) -> None:
    path = f"/media/{make_clip(clips, 'h264.mp4').pk}/stream.mp4"
    fetch(client, path)
    again = client.get(path)
    assert again["Accept-Ranges"] == "none"
    again.close()
    assert not kept(fresh)


def test_many_have_one_encode_and_the_last_to_leave_ends_it(client: Client, clips: Clips, fresh: Path) -> None:
    path = f"/media/{make_clip(clips, 'long444.mp4').pk}/stream.mp4?profile=360p"
    before = child_pids()
    viewers: list[Iterator[bytes]] = []
    responses = []
    for _ in range(5):
        responses.append(client.get(path))
        assert responses[-1].status_code == 200
        viewers.append(iter(responses[-1]))
        assert next(viewers[-1])[4:8] == b"ftyp"
    assert registry.running() == 1
    assert len(child_pids() - before) == 1
    assert len(list(fresh.rglob(".draft-*"))) == 1
    for response in responses:
        assert registry.running() == 1
        response.close()
    assert registry.running() == 0
    assert child_pids() <= before
    assert not list(fresh.rglob(".draft-*"))


def test_those_who_ask_at_the_same_moment_have_one_encode(clips: Clips, fresh: Path) -> None:
    path = f"/media/{make_clip(clips, 'mpeg4.avi').pk}/stream.mp4?profile=360p"
    found: list[bytes] = []
    most = 0

    def watch() -> None:
        nonlocal most
        response = Client().get(path)
        most = max(most, registry.running())
        found.append(b"".join(response))
        response.close()

    threads = [threading.Thread(target=watch) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert len(found) == 6
    assert most == 1
    assert len(kept(fresh)) == 1


def test_what_would_fill_the_cache_is_neither_kept_nor_shared(
    client: Client, clips: Clips, fresh: Path, settings: LazySettings
) -> None:
    """Who fell behind would find nothing to read it from."""
    settings.TRANSCODE_CACHE_SIZE = 1_000_000
    path = f"/media/{make_clip(clips, 'h264.mp4').pk}/stream.mp4?profile=360p"
    behind, foremost = client.get(path), client.get(path)
    assert registry.running() == 2
    for response in (foremost, behind):
        assert len(b"".join(response)) > 100_000
        response.close()
    assert not kept(fresh)

"""HLS by its addresses, with real FFmpegs: complete playlists, segments that fit whoever made them, none left behind."""

import io
from collections.abc import Iterator
from pathlib import Path

import av
import pytest
from django.conf import LazySettings
from django.test import Client

from mediastream import homeloop
from tests.media import Clips
from tests.media_library.conftest import child_pids, make_clip
from tests.transcode.assembled import addresses, fetch, init_address, largest_gap, timeline
from transcode import hls, registry

pytestmark = pytest.mark.django_db
VIEWER = "aaaaaaaa11111111"


@pytest.fixture(autouse=True)
def fresh(tmp_path: Path, settings: LazySettings) -> Iterator[None]:
    settings.TRANSCODE_CACHE = tmp_path / "cache"
    forget()
    before = child_pids()
    yield
    homeloop.call(hls.close_all(), 20)
    assert registry.running() == 0
    assert child_pids() <= before
    forget()


def forget() -> None:
    hls.store.cache_clear()
    hls.sessions.cache_clear()
    hls._sources.clear()


@pytest.fixture
def either_ffmpeg(ffmpeg_executable: str, settings: LazySettings) -> None:
    settings.FFMPEG = ffmpeg_executable


def playlist(client: Client, base: str, name: str, viewer: str = VIEWER) -> tuple[bytes, list[str]]:
    """The init segment's bytes, and the segments' addresses."""
    text = fetch(client, f"{base}{name}/index.m3u8?viewer={viewer}").decode()
    folder = f"{base}{name}/"
    assert text.endswith("#EXT-X-ENDLIST\n")
    return fetch(client, folder + init_address(text)), [folder + address for address in addresses(text)]


@pytest.mark.parametrize(
    ("clip", "name", "samples"),
    [
        ("yuv444.mp4", "video-360p", 250),
        ("yuv444.mp4", "audio-1-copy", 469),
        ("mpeg4.avi", "video-360p", 250),
        ("mpeg4.avi", "audio-1-aac", 469),
        ("h264.mp4", "video-copy", 250),
        ("h264.mkv", "video-copy", 250),
        ("h264.mkv", "audio-1-aac", 469),
        ("bframes.mp4", "video-copy", 250),
    ],
)
def test_segments_of_many_runs_fit_together(
    client: Client, clips: Clips, settings: LazySettings, tmp_path: Path, either_ffmpeg: None,
    clip: str, name: str, samples: int,
) -> None:  # fmt: skip
    """Each segment with an empty cache, so that every one is from a run of its own."""
    base = f"/media/{make_clip(clips, clip).pk}/hls/"
    init, segments = playlist(client, base, name)
    assert len(segments) >= 2
    made = {}
    for number, address in enumerate(segments):
        homeloop.call(hls.close_all(), 20)
        settings.TRANSCODE_CACHE = tmp_path / f"cache{number}"
        forget()
        made[number] = fetch(client, address)
    found = timeline(init, [made[number] for number in sorted(made)])
    assert len(found) == pytest.approx(samples, abs=2)
    assert found[0].shown == pytest.approx(0, abs=0.01)  # AC-3 begins 5 ms before the rest
    assert largest_gap(found) < 0.002
    assert all(timeline(init, [made[number]])[0].sync for number in made)
    with av.open(io.BytesIO(init + b"".join(made[number] for number in sorted(made)))) as container:
        assert sum(1 for _ in container.decode(container.streams[0])) >= samples - 2


"""What goes wrong while HLS is made: an encode that fails half-way, a file that ends early, a disk that is full."""

import json
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.test import Client

from tests.media import BUNDLED, Clips
from tests.media_library.conftest import make_clip
from tests.system.harness import wait_until
from tests.transcode.assembled import fetch, playlist
from transcode import hls, registry

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("fresh_hls")]
DISK = 1024 * 1024  # bytes: what one session is ahead by, and a little more


def test_an_encode_that_fails_half_way_says_why_and_the_next_try_begins_anew(
    client: Client, clips: Clips, settings: LazySettings, tmp_path: Path
) -> None:
    broken, mended = tmp_path / "ffmpeg", tmp_path / "mended"
    # Those of its bytes that hold two segments and a half; a pipe that is read on would else keep FFmpeg from its end.
    broken.write_text(
        f"#!/bin/sh\nif [ -e {shlex.quote(str(mended))} ] || [ \"$1\" = -version ]; then exec {BUNDLED} \"$@\"; fi\n"
        f"{BUNDLED} \"$@\" 2>/dev/null | head -c 150000\necho '[error] the decoder gave up' >&2\nexit 1\n"
    )  # fmt: skip
    broken.chmod(0o755)
    settings.FFMPEG = str(broken)
    base = f"/media/{make_clip(clips, 'yuv444.mp4').pk}/hls/"
    _, segments = playlist(client, base, "video-360p")
    made = 0
    while (response := client.get(segments[made])).status_code == 200:
        response.close()
        made += 1
    assert 0 < made < len(segments)
    assert response.status_code == 500
    assert "the decoder gave up" in json.loads(response.content)["detail"]
    assert not hls.sessions().running
    assert registry.running() == 0
    mended.touch()
    assert fetch(client, segments[made])[4:8] == b"moof"
    assert fetch(client, segments[-1])[4:8] == b"moof"


def test_a_file_that_ends_early_plays_to_its_end(client: Client, clips: Clips) -> None:
    """Its last third is gone from the storage: what there was to see has been seen, and nobody waits for the rest."""
    media = make_clip(clips, "mpeg4.avi")
    path = Path(media.file.path)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size * 2 // 3)
    _, segments = playlist(client, f"/media/{media.pk}/hls/", "video-360p")
    sizes = [len(fetch(client, segment)) for segment in segments]
    assert min(sizes[:2]) > 1000
    assert not hls.sessions().running


@pytest.fixture
def small_disk(tmp_path: Path, settings: LazySettings) -> Iterator[Path]:
    """A real disk that is soon full; only root can mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("no right to mount a tmpfs")
    settings.TRANSCODE_CACHE = folder / "cache"
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def status(client: Client, address: str) -> int:
    response = client.get(address)
    response.close()
    return response.status_code


def fill(filler: Path) -> None:
    with filler.open("ab", buffering=0) as file, suppress(OSError):  # in the end there is no room
        while file.write(b"x" * 4096):
            pass


def test_a_disk_that_fills_up_gives_up_the_old_and_then_says_so(client: Client, clips: Clips, small_disk: Path) -> None:
    _, segments = playlist(client, f"/media/{make_clip(clips, 'long.mp4').pk}/hls/", "video-copy")
    made = sum(len(fetch(client, segment)) for segment in segments[:40])
    assert made > DISK
    filler = small_disk / "filler"
    for number in range(100, 200, 10):
        fill(filler)  # also what was given up for the one before
        response = client.get(segments[number])
        response.close()
        assert response.status_code in (200, 503, 507)  # 503: made, and given up again before it was sent
        if response.status_code == 507:
            break
    assert response.status_code == 507
    assert json.loads(response.content)["error"] == "disk_full"
    filler.unlink()
    wait_until(lambda: status(client, segments[200]) != 503, 20, "the end of what gives each other up")
    assert fetch(client, segments[200])[4:8] == b"moof"
    wait_until(lambda: not list(small_disk.rglob(".draft-*")), 20, "the end of what is made ahead")

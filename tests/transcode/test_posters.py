import io
from pathlib import Path
from typing import Any

import av
import pytest

from media_library.models import Media
from tests.media import Clips
from tests.media_library.conftest import child_pids, make_clip, make_media, stored_files
from transcode import posters
from transcode.jobs import queueing, running
from transcode.jobs.models import Job, Kind

pytestmark = pytest.mark.django_db


def make(media: Media) -> Job:
    job = queueing.enqueue(Kind.POSTER, media)
    running.run(job.pk)
    media.refresh_from_db()
    return Job.objects.get(pk=job.pk)


def size(jpeg: bytes) -> tuple[int, int]:
    with av.open(io.BytesIO(jpeg)) as container:
        picture = next(container.decode(video=0))
        return picture.width, picture.height


@pytest.mark.parametrize("name", ["h264.mp4", "mpeg4.avi", "vp8.webm", "yuv444.mp4"])
def test_a_video_gets_a_picture(clips: Clips, name: str) -> None:
    media = make_clip(clips, name)
    make(media)
    assert (media.poster.name or "").startswith("posters/")
    assert size(Path(media.poster.path).read_bytes()) == (640, 360)


def test_sound_gets_none(clips: Clips) -> None:
    media = make_clip(clips, "sound.mp3")
    make(media)
    assert not media.poster


def test_an_item_of_unknown_length_gets_its_first_pictures(clips: Clips) -> None:
    media = make_clip(clips, "silent.mp4")
    media.duration = None
    make(media)
    assert media.poster


def test_a_second_picture_takes_the_place_of_the_first(clips: Clips, django_capture_on_commit_callbacks: Any) -> None:
    """“Probe again” may be asked for as often as one likes; pictures must not pile up."""
    media = make_clip(clips, "silent.mp4")
    make(media)
    before, first = len(stored_files()), media.poster.name
    with django_capture_on_commit_callbacks(execute=True):
        make(media)
    assert media.poster.name != first
    assert Path(media.poster.path).exists()
    assert len(stored_files()) == before


def test_a_file_ffmpeg_cannot_read_is_stored_all_the_same(clips: Clips) -> None:
    media = make_clip(clips, "silent.mp4")
    media.path.write_bytes(b"words" * 100)
    before = stored_files()
    job = make(media)
    assert not media.poster
    assert stored_files() == before
    assert job.reason.startswith("No picture: ")
    assert str(media.path) not in job.reason


def test_a_picture_of_a_file_that_was_replaced_meanwhile_is_not_kept(clips: Clips) -> None:
    media = make_clip(clips, "silent.mp4")
    before = stored_files()
    Media.objects.filter(pk=media.pk).update(file="media/other.mp4")
    assert not posters.keep(media, b"picture")
    media.refresh_from_db()
    assert not media.poster
    assert stored_files() == before


def test_a_picture_that_takes_too_long_is_given_up(clips: Clips, monkeypatch: pytest.MonkeyPatch) -> None:
    def sleeping(*args: object, **kwargs: object) -> list[str]:
        return ["sleep", "60"]

    monkeypatch.setattr(posters, "DEADLINE", 0.3)
    monkeypatch.setattr(posters.argv, "poster", sleeping)
    before = child_pids()
    media = make_clip(clips, "silent.mp4")
    make(media)
    assert not media.poster
    assert child_pids() <= before


def test_an_ffmpeg_that_is_gone_is_no_reason_to_refuse(clips: Clips, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posters.argv, "poster", lambda *args, **kwargs: ["/nonexistent/ffmpeg"])
    media = make_clip(clips, "silent.mp4")
    make(media)
    assert not media.poster


def test_nothing_is_made_of_what_was_not_probed() -> None:
    media = make_media()
    make(media)
    assert not media.poster

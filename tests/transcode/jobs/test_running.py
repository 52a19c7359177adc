"""Jobs run in this process, as commands do without a job worker; with the real FFmpeg."""

import asyncio
import dataclasses
import errno
import os
import shlex
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import LazySettings, settings
from django.db import OperationalError
from django.test import Client
from django.utils import timezone
from django_q.models import OrmQ

from media_library import ingest
from media_library.models import Media
from mediastream import homeloop
from mediastream.bus import Lease
from mediastream.limits import Limits
from tests.media import BUNDLED, Clips, run_ffmpeg
from tests.media_library.conftest import child_pids, make_clip, make_media, stored_files
from transcode import fallback, hardware
from transcode.derived import SUBTITLES, THUMBNAILS
from transcode.encoders import BY_NAME, SOFTWARE
from transcode.jobs import asking, child, commands, kinds, queueing, replacing, running
from transcode.jobs.asking import after_storing
from transcode.jobs.child import Bounds, JobFailed, why
from transcode.jobs.faststart import index_is_first
from transcode.jobs.models import Job, Kind, State

pytestmark = pytest.mark.django_db


def done(kind: Kind, media: Media) -> Job:
    job = queueing.enqueue(kind, media)
    running.run(job.pk)
    return Job.objects.get(pk=job.pk)


def test_asked_for_twice_it_is_one_job(clips: Clips) -> None:
    media = make_clip(clips, "silent.mp4")
    first = queueing.enqueue(Kind.POSTER, media)
    assert queueing.enqueue(Kind.POSTER, media).pk == first.pk
    assert OrmQ.objects.count() == 1
    running.run(first.pk)
    assert queueing.enqueue(Kind.POSTER, media).pk != first.pk


def test_a_job_delivered_twice_is_done_once(clips: Clips) -> None:
    job = done(Kind.POSTER, make_clip(clips, "silent.mp4"))
    assert (job.state, job.attempts, job.percent) == (State.DONE, 1, 100.0)
    running.run(job.pk)
    assert Job.objects.get(pk=job.pk).attempts == 1


@pytest.mark.parametrize("name", ["h264.mp4", "vp8.webm", "mpeg4.avi", "yuv444.mp4"])
def test_thumbnails(clips: Clips, name: str, client: Client) -> None:
    media = make_clip(clips, name)
    job = done(Kind.THUMBNAILS, media)
    assert (job.state, job.tail) == (State.DONE, ""), job.reason
    text = client.get(f"/media/{media.pk}/thumbnails.vtt")
    assert text.headers["Cache-Control"] == "public, max-age=300"
    assert text.content.decode().count("#xywh=") == {"vp8.webm": 2}.get(name, 5)
    sprite = client.get(f"/media/{media.pk}/thumbnails/0.jpg")
    assert b"".join(sprite)[:2] == b"\xff\xd8"
    assert sprite.headers["ETag"]
    assert client.get(f"/media/{media.pk}/thumbnails/1.jpg").status_code == 404
    assert done(Kind.THUMBNAILS, media).reason == "They were there."


def test_what_was_made_goes_with_its_item(
    clips: Clips, django_capture_on_commit_callbacks: Callable[..., object]
) -> None:
    media = make_clip(clips, "subtitled.mkv")
    done(Kind.THUMBNAILS, media)
    done(Kind.SUBTITLES, media)
    folders = [shelf.folder_of(media.pk, media.file.name or "") for shelf in (THUMBNAILS, SUBTITLES)]
    assert all(folder.exists() for folder in folders)
    with django_capture_on_commit_callbacks(execute=True):  # type: ignore[attr-defined]
        media.delete()
    assert not any(folder.parent.exists() for folder in folders)


def test_thumbnails_asked_for_by_a_ticket_name_it(clips: Clips, client: Client) -> None:
    media = make_clip(clips, "silent.mp4")
    done(Kind.THUMBNAILS, media)
    answer = client.get(f"/media/{media.pk}/thumbnails.vtt?ticket=1:ab:2:cd")
    assert b"thumbnails/0.jpg?ticket=1:ab:2:cd#xywh=" in answer.content
    assert answer.headers["Cache-Control"] == "private, no-store"
    forged = client.get(f"/media/{media.pk}/thumbnails.vtt", {"ticket": "x\n\n00:00"})
    assert b"ticket" not in forged.content


def test_subtitles(clips: Clips, client: Client, settings: LazySettings, ffmpeg_executable: str) -> None:
    """Once made they are served as they are; and they are what would be made on demand."""
    settings.FFMPEG = ffmpeg_executable
    media = make_clip(clips, "subtitled.mkv")
    address = f"/media/{media.pk}/subtitles/2.vtt"
    on_demand = b"".join(client.get(address))
    job = done(Kind.SUBTITLES, media)
    assert (job.state, job.tail, job.reason) == (State.DONE, "", "1 as WebVTT.")
    settings.FFMPEG = "/bin/false"
    assert (SUBTITLES.folder_of(media.pk, media.file.name or "") / "2.vtt").read_bytes() == on_demand
    made = client.get(address)
    assert b"".join(made) == on_demand
    assert b"Hello there" in on_demand
    assert made.headers["Content-Type"] == "text/vtt; charset=utf-8"
    assert client.get(address, headers={"If-None-Match": made.headers["ETag"]}).status_code == 304
    assert client.get(f"/media/{media.pk}/subtitles/1.vtt").status_code == 404
    assert done(Kind.SUBTITLES, media).reason == "They were there."


def test_many_subtitles_are_made_by_one_reading(clips: Clips, tmp_path: Path, ffmpeg_executable: str) -> None:
    texts = ["-f", "srt", "-i", "data:text/plain;base64,MQowMDowMDowMSwwMDAgLS0+IDAwOjAwOjAyLDAwMApTZWNvbmQK"]
    path = tmp_path / "two.mkv"
    run_ffmpeg(["-i", str(clips["subtitled.mkv"]), *texts, "-map", "0", "-map", "1", "-c", "copy", str(path)])
    argv = commands.subtitles(ffmpeg_executable, path, tmp_path, [2, 3])
    subprocess.run(argv, check=True, capture_output=True)
    assert [(tmp_path / f"{n}.vtt").read_text().splitlines()[-1] for n in (2, 3)] == ["Hello there", "Second"]


def test_who_has_no_subtitles_in_text_has_no_job_of_it(clips: Clips) -> None:
    silent, subtitled = (make_clip(clips, name) for name in ("silent.mp4", "subtitled.mkv"))
    assert asking.deserved(silent) == [Kind.POSTER, Kind.THUMBNAILS]
    assert asking.deserved(subtitled) == [Kind.POSTER, Kind.THUMBNAILS, Kind.SUBTITLES]
    assert asking.deserved(make_clip(clips, "sound.mp3")) == []
    job = done(Kind.SUBTITLES, silent)
    assert (job.state, job.reason) == (State.FAILED, "There are no subtitles in text in this item.")


def test_an_encode_keeps_subtitles_and_has_them_made_anew(clips: Clips) -> None:
    media = make_clip(clips, "subtitled.mkv")
    done(Kind.SUBTITLES, media)
    job = done(Kind.ENCODE, media)
    assert job.state == State.DONE, job.reason
    assert "left out" not in job.reason
    media.refresh_from_db()
    assert not SUBTITLES.there(media.pk, media.file.name or "")
    (following,) = Job.objects.filter(kind=Kind.SUBTITLES, state=State.QUEUED)
    running.run(following.pk)
    assert SUBTITLES.there(media.pk, media.file.name or "")
    assert len(list(SUBTITLES.of_item(media.pk).iterdir())) == 1


def test_what_is_damaged_fails_with_ffmpegs_words_and_leaves_nothing(clips: Clips) -> None:
    media = make_clip(clips, "silent.mp4")
    media.path.write_bytes(b"words" * 100)
    before = stored_files()
    job = done(Kind.THUMBNAILS, media)
    assert job.state == State.FAILED
    assert "Invalid data" in job.reason
    assert "Invalid data" in job.tail
    assert str(settings.DATA_DIR) not in job.reason + job.tail
    assert stored_files() == before


def test_a_remux_puts_the_index_in_front_and_spares_an_edit(clips: Clips, tmp_path: Path) -> None:
    late = tmp_path / "late.mp4"
    run_ffmpeg(["-i", str(clips["h264.mp4"]), "-c", "copy", str(late)])
    media = ingest.add_file(late, title="Before")
    was = media.path
    job = queueing.enqueue(Kind.REMUX, media)
    Media.objects.filter(pk=media.pk).update(title="After")
    assert not index_is_first(was)
    running.run(job.pk)
    job.refresh_from_db()
    assert job.state == State.DONE, job.reason
    media.refresh_from_db()
    assert (media.title, media.content_type) == ("After", "video/mp4")
    assert media.path != was
    assert index_is_first(media.path)
    assert media.size == media.path.stat().st_size
    assert done(Kind.REMUX, media).reason.startswith("It was")


def test_an_encode_is_what_browsers_play(clips: Clips) -> None:
    media = make_clip(clips, "mpeg4.avi")
    assert not media.browser_type
    job = done(Kind.ENCODE, media)
    assert job.state == State.DONE, job.reason
    media.refresh_from_db()
    assert "avc1" in media.browser_type
    assert media.original_name == "mpeg4.mp4"
    assert done(Kind.ENCODE, media).reason == "Browsers play it as it is."


def test_an_encode_that_would_lose_for_nothing_is_refused(clips: Clips, tmp_path: Path) -> None:
    path = tmp_path / "copyable.mkv"
    run_ffmpeg(["-i", str(clips["h264.mp4"]), "-c", "copy", str(path)])
    media = ingest.add_file(path)
    job = done(Kind.ENCODE, media)
    assert (job.state, job.reason.partition(";")[0]) == (State.FAILED, "Nothing in it has to be encoded")
    assert done(Kind.REMUX, media).state == State.DONE
    media.refresh_from_db()
    assert done(Kind.ENCODE, media).reason == "Browsers play it as it is."


# Hardware that is libx264 under another row of the table.
CARD = dataclasses.replace(BY_NAME["nvenc"], codec="libx264", options=(), prompt=(), quality=(("crf", 40),))


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As the job's own process finds it."""
    monkeypatch.setattr(hardware, "_task", None)
    monkeypatch.setattr(hardware, "HARDWARE", (dataclasses.replace(CARD, needs=""),))
    yield
    homeloop.call(hardware.end(), 20)
    fallback.forget()


@pytest.mark.usefixtures("card")
def test_an_encode_is_done_by_the_hardware_that_works(clips: Clips) -> None:
    job = done(Kind.ENCODE, make_clip(clips, "mpeg4.avi"))
    assert job.state == State.DONE, job.reason
    assert hardware.chosen().name == "nvenc"
    assert job.reason.endswith(", by libx264.")
    assert fallback.last() is None


@pytest.mark.usefixtures("card")
def test_an_encode_that_hardware_fails_at_is_done_by_software(
    clips: Clips, tmp_path: Path, settings: LazySettings
) -> None:
    """The trial works, the film does not."""
    broken = tmp_path / "ffmpeg"
    failing = 'case "$*" in *"-crf 40"*) echo "[error] no session is left" >&2; exit 1;; esac'
    broken.write_text(f'#!/bin/sh\n{failing}\nexec {shlex.quote(BUNDLED)} "$@"\n')
    broken.chmod(0o755)
    settings.FFMPEG = str(broken)
    media = make_clip(clips, "mpeg4.avi")
    job = done(Kind.ENCODE, media)
    assert job.state == State.DONE, job.reason
    assert job.reason.endswith("by libx264, as nvenc failed: FFmpeg failed: no session is left.")
    assert hardware.chosen().name == "nvenc"
    media.refresh_from_db()
    assert "avc1" in media.browser_type


def test_what_an_encode_may_use(clips: Clips, monkeypatch: pytest.MonkeyPatch) -> None:
    """Processor time and output always; addresses of software alone, as drivers map more than there is."""
    given: list[Limits] = []

    async def encode(argv: list[str], bounds: Bounds, report: object) -> None:
        given.append(bounds.limits)
        raise JobFailed("enough is known")

    monkeypatch.setattr(replacing, "encode", encode)
    monkeypatch.setattr(hardware, "_chosen", BY_NAME["nvenc"])
    monkeypatch.setattr(hardware, "known", lambda *_: asyncio.sleep(0))
    done(Kind.ENCODE, make_clip(clips, "mpeg4.avi"))
    fallback.forget()
    assert [limits.address_space for limits in given] == [None, SOFTWARE.limits.address_space]
    for limits in given:
        assert limits.niceness == 10
        assert limits.cpu_seconds == replacing.LONGEST * (os.cpu_count() or 1)
        assert limits.file_size is not None


def test_a_file_that_breaks_off_is_left_as_it_is(clips: Clips) -> None:
    media = make_clip(clips, "mpeg4.avi")
    media.path.write_bytes(media.path.read_bytes()[: media.path.stat().st_size // 2])
    before = stored_files()
    job = done(Kind.ENCODE, media)
    assert job.state == State.FAILED
    assert "came out" in job.reason
    assert stored_files() == before


def sleeping(*_: object, **__: object) -> list[str]:
    return ["sleep", "60"]


def test_a_child_that_does_nothing_is_ended(clips: Clips, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds.commands, "encode", sleeping)
    monkeypatch.setattr(replacing, "IDLE", 1.0)
    before, files = child_pids(), stored_files()
    media = make_clip(clips, "mpeg4.avi")
    files = stored_files()
    job = done(Kind.ENCODE, media)
    assert (job.state, job.reason) == (State.FAILED, "FFmpeg did nothing for 1 seconds, and was ended.")
    assert child_pids() <= before
    assert stored_files() == files


def test_a_full_disk_is_said(clips: Clips, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its limit on the output's size, which is what the disk has left."""
    real = replacing.replace
    monkeypatch.setattr(replacing, "replace", lambda limits, **given: real(limits, **given | {"file_size": 20_000}))
    media = make_clip(clips, "mpeg4.avi")
    files = stored_files()
    job = done(Kind.ENCODE, media)
    assert job.state == State.FAILED
    assert job.reason.startswith("The server's disk is full"), job.reason
    assert stored_files() == files


def test_no_room_is_said_before_anything_is_begun(clips: Clips, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replacing, "DISK_RESERVE", 1 << 60)
    assert "not enough room" in done(Kind.ENCODE, make_clip(clips, "mpeg4.avi")).reason


@pytest.mark.parametrize(
    ("code", "said", "reason"),
    [
        (1, f"[error] file:/x/y: {os.strerror(errno.ENOSPC)}", "The server's disk is full"),
        (-25, "", "The server's disk is full"),
        (-9, "", "FFmpeg was ended by signal 9."),
        (1, "[error] file:/var/secret: Invalid data found", "FFmpeg failed: the file: Invalid data found."),
    ],
)
def test_why_it_failed(code: int, said: str, reason: str) -> None:
    assert str(why(code, said)).startswith(reason)
    assert "secret" not in str(why(code, said))


def test_what_is_no_ffmpeg_is_not_believed(clips: Clips, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds.commands, "encode", lambda *_, **__: ["echo", "hello"])
    assert "progress cannot be read" in done(Kind.ENCODE, make_clip(clips, "mpeg4.avi")).reason


def test_a_database_that_is_full_for_a_while_costs_no_job(clips: Clips, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else its row would say for ever that it runs."""
    real, failures = Job.objects.filter, iter(range(6))

    def filtered(*given: object, **wanted: object) -> object:
        if wanted.get("state") == State.RUNNING and "pk" in wanted and next(failures, None) is not None:
            raise OperationalError("database or disk is full")
        return real(*given, **wanted)

    media = make_clip(clips, "silent.mp4")
    job = queueing.enqueue(Kind.POSTER, media)
    monkeypatch.setattr(running, "EVERY", 0.05)
    monkeypatch.setattr(Job.objects, "filter", filtered)
    running.run(job.pk)
    monkeypatch.undo()
    assert next(failures, None) is None
    assert Job.objects.get(pk=job.pk).state == State.DONE


def test_a_heavy_one_waits_for_the_other(clips: Clips) -> None:
    first, second = (queueing.enqueue(Kind.ENCODE, make_clip(clips, name)) for name in ("mpeg4.avi", "yuv444.mp4"))
    claimed = queueing.claim(first.pk)
    assert claimed is not None
    assert queueing.claim(second.pk) is None
    OrmQ.objects.all().delete()  # its message is used up
    queueing.finish(claimed, State.DONE)
    assert OrmQ.objects.count() == 1
    assert queueing.claim(second.pk) is not None


def test_what_a_dead_worker_left_is_taken_up_and_given_up_in_the_end(clips: Clips) -> None:
    job = queueing.enqueue(Kind.POSTER, make_clip(clips, "silent.mp4"))
    for attempt in range(1, queueing.MOST_ATTEMPTS + 1):
        claimed = queueing.claim(job.pk)
        assert claimed is not None
        assert claimed.attempts == attempt
        queueing.recover()
    job.refresh_from_db()
    assert (job.state, OrmQ.objects.count()) == (State.FAILED, 0)
    assert "died 3 times" in job.reason
    assert queueing.retry(job.pk)
    running.run(job.pk)
    job.refresh_from_db()
    assert (job.state, job.attempts) == (State.DONE, 1)


def test_what_ended_long_ago_is_forgotten(clips: Clips) -> None:
    media = make_clip(clips, "silent.mp4")
    old, new = done(Kind.POSTER, media), done(Kind.POSTER, media)
    Job.objects.filter(pk=old.pk).update(ended_at=timezone.now() - queueing.KEPT - timedelta(days=1))
    queueing.recover()
    assert [job.pk for job in Job.objects.all()] == [new.pk]


def test_only_the_jobs_of_dead_processes_are_orphans(clips: Clips) -> None:
    jobs = [queueing.enqueue(Kind.POSTER, make_clip(clips, name)) for name in ("silent.mp4", "odd.mp4")]
    for job in jobs:
        queueing.claim(job.pk)
    Job.objects.filter(pk=jobs[0].pk).update(worker=2**22 + 1)
    Job.objects.filter(pk=jobs[1].pk).update(worker=os.getpid())
    queueing.recover_orphans(os.getppid())
    assert [Job.objects.get(pk=job.pk).state for job in jobs] == [State.QUEUED, State.RUNNING]


def test_a_cancelled_or_deleted_job_is_not_run(clips: Clips) -> None:
    media = make_clip(clips, "silent.mp4")
    job = queueing.enqueue(Kind.POSTER, media)
    assert queueing.cancel(job.pk)
    assert not queueing.cancel(job.pk)
    running.run(job.pk)
    job.refresh_from_db()
    assert (job.state, job.attempts) == (State.CANCELLED, 0)
    assert queueing.retry(job.pk)
    media.delete()
    running.run(job.pk)
    assert not Job.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_cancel_ends_the_child_of_a_running_job(clips: Clips, monkeypatch: pytest.MonkeyPatch) -> None:
    from django.db import connection

    monkeypatch.setattr(kinds.commands, "encode", sleeping)
    media = make_clip(clips, "mpeg4.avi")
    job = queueing.enqueue(Kind.ENCODE, media)
    files, before = stored_files(), child_pids()

    def cancel() -> None:
        try:
            while not Job.objects.filter(pk=job.pk, state=State.RUNNING).exists():
                time.sleep(0.05)
            queueing.cancel(job.pk)
        finally:
            connection.close()

    thread = threading.Thread(target=cancel)
    thread.start()
    running.run(job.pk)
    thread.join()
    assert Job.objects.get(pk=job.pk).state == State.CANCELLED
    assert child_pids() <= before
    assert stored_files() == files


def test_with_a_worker_an_upload_does_not_wait_for_its_poster(clips: Clips) -> None:
    media = make_clip(clips, "silent.mp4")
    lease = Lease.take(queueing.LEASE)
    assert lease is not None
    try:
        after_storing(Media, media)
    finally:
        lease.release()
    assert not media.poster
    assert set(Job.objects.values_list("kind", "state")) == {("poster", "queued"), ("thumbnails", "queued")}


def test_without_a_worker_the_poster_is_made_at_once(clips: Clips) -> None:
    media = make_clip(clips, "silent.mp4")
    after_storing(Media, media)
    assert media.poster
    assert set(Job.objects.values_list("kind", "state")) == {("poster", "done"), ("thumbnails", "queued")}


def test_sound_has_no_jobs() -> None:
    after_storing(Media, make_media())
    assert not Job.objects.exists()


async def test_a_deadline_ends_it() -> None:
    with pytest.raises(JobFailed, match=r"did not finish within 0\.3 seconds"):
        await child.encode(["sleep", "60"], Bounds(Limits(), deadline=0.3, idle=60.0), child.Report())


def test_the_longest_job_ends_before_its_message_does() -> None:
    assert replacing.LONGEST < settings.Q_CLUSTER["timeout"] < settings.Q_CLUSTER["retry"]
    assert kinds.READING.deadline < settings.Q_CLUSTER["timeout"]

"""What each kind of job does, as a table. Each is safe to repeat, and returns what it did in words.

They raise JobFailed, a Fault or OSError, as running.py tells.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from django.conf import settings

from media_library import ingest
from media_library.models import Media
from media_library.models import State as MediaState
from mediastream import ffmpeg
from mediastream.limits import Limits
from transcode import posters, thumbnails
from transcode.decision import texts
from transcode.derived import SUBTITLES, THUMBNAILS, drop
from transcode.jobs import commands, optimising
from transcode.jobs.child import Bounds, JobFailed, encode
from transcode.jobs.models import Kind
from transcode.jobs.replacing import room_for
from transcode.sprites import layout

if TYPE_CHECKING:
    from transcode.jobs.running import Attempt

GONE = "The item's file has changed meanwhile; its new one has a job of its own."
# Of what reads the whole file. Six hours of 4K film have 30,000 key frames, fifteen of which are decoded in a second
# at worst.
READING = Bounds(Limits(address_space=6 * 1024**3, cpu_seconds=7200, niceness=10), deadline=3600.0, idle=60.0)


def probe(attempt: "Attempt") -> str:
    media = attempt.media
    if media.state == MediaState.READY:
        return "It had been probed."
    ingest.probe_again(media)
    if media.state == MediaState.FAILED:
        raise JobFailed(media.reason)
    return ""


def poster(attempt: "Attempt") -> str:
    media = attempt.media
    video = _video(media)
    try:
        jpeg = attempt.wait(posters.picture(posters.command(media.path, media.duration, video)))
    except posters.NoPicture as fault:
        raise JobFailed(f"No picture: {fault}.") from None
    return "" if posters.keep(media, jpeg) else GONE


def make_thumbnails(attempt: "Attempt") -> str:
    media = attempt.media
    index, name = _video(media), media.file.name or ""
    if THUMBNAILS.there(media.pk, name):
        return "They were there."
    stream = media.facts.streams[index]
    try:
        plan = layout(media.duration or 0.0, stream.width or 0, stream.height or 0, stream.rotation)
    except ValueError as fault:
        raise JobFailed(f"{fault}.") from None
    attempt.report.duration = media.duration
    folder = THUMBNAILS.draft(media.pk)
    try:
        argv = commands.thumbnails(ffmpeg.executable(settings.FFMPEG), media.path, folder, index, plan)
        attempt.wait(encode(argv, _reading(), attempt.report))
        made = len(list(folder.glob("*.jpg")))
        if not made:
            raise JobFailed("FFmpeg found no key frame.")
        if not Media.objects.filter(pk=media.pk, file=name).exists():
            return GONE
        thumbnails.keep(media.pk, name, folder, plan.shortened(made))
    finally:
        drop(folder)
    return f"{plan.shortened(made).count} pictures, one every {plan.interval:.3g} seconds."


def make_subtitles(attempt: "Attempt") -> str:
    media = attempt.media
    streams, name = texts(media.facts), media.file.name or ""
    if not streams:
        raise JobFailed("There are no subtitles in text in this item.")
    if SUBTITLES.there(media.pk, name):
        return "They were there."
    attempt.report.duration = media.duration
    folder = SUBTITLES.draft(media.pk)
    try:
        argv = commands.subtitles(ffmpeg.executable(settings.FFMPEG), media.path, folder, streams)
        attempt.wait(encode(argv, _reading(), attempt.report))
        if not Media.objects.filter(pk=media.pk, file=name).exists():
            return GONE
        SUBTITLES.keep(media.pk, name, folder)
    finally:
        drop(folder)
    return f"{len(streams)} as WebVTT."


def _reading() -> Bounds:
    return replace(READING, limits=replace(READING.limits, file_size=room_for(0)))


def _video(media: Media) -> int:
    video = media.facts.first("video")
    if video is None:
        raise JobFailed("There is no video in this item.")
    return video


WORK: dict[Kind, Callable[["Attempt"], str]] = {
    Kind.PROBE: probe,
    Kind.POSTER: poster,
    Kind.THUMBNAILS: make_thumbnails,
    Kind.SUBTITLES: make_subtitles,
    Kind.REMUX: optimising.remux,
    Kind.ENCODE: optimising.encode_anew,
}

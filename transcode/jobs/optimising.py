"""What makes a stored file better to stream: a remux, and an encode.

A remux keeps each picture and sound as it is, in an MP4 whose index comes first; what would lose something is refused.
An encode is for what no browser plays, and asked for by name, as the file it replaces is gone afterwards.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings

from media_library.facts import Facts
from mediastream import ffmpeg
from transcode.decision import TEXT_SUBTITLES, Action, decide, texts
from transcode.encoders import Encoder
from transcode.jobs import commands
from transcode.jobs.child import JobFailed
from transcode.jobs.faststart import index_is_first
from transcode.jobs.replacing import replaced
from transcode.player import BROWSER
from transcode.profiles import FILE

if TYPE_CHECKING:
    from transcode.jobs.running import Attempt

# What MP4 carries and players take from it (ISO 14496-12 and the codecs' own registrations).
VIDEO = ("h264", "hevc", "av1", "mpeg4", "vp9")
AUDIO = ("aac", "mp3", "ac3", "eac3", "opus", "flac", "alac")


def remux(attempt: "Attempt") -> str:
    media = attempt.media
    facts = media.facts
    refused = why_not(facts)
    if refused:
        raise JobFailed(refused)
    if facts.container.startswith("mov") and index_is_first(media.path):
        return "It was: an MP4 whose index comes first."
    streams = [index for index, stream in enumerate(facts.streams) if stream.kind in ("video", "audio", "subtitle")]
    codecs = {facts.streams[index].codec for index in streams}
    text = any(facts.streams[index].kind == "subtitle" for index in streams)

    def command(target: Path, _: Encoder) -> list[str]:
        executable = ffmpeg.executable(settings.FFMPEG)
        return commands.remux(executable, media.path, target, streams, hevc="hevc" in codecs, text=text)

    return replaced(attempt, command, media.size, encodes=False)


def why_not(facts: Facts) -> str:
    """Why a remux would lose something, or has no use; "" if it may be."""
    if facts.first("video") is None:
        return "Sound alone needs no optimising."
    if facts.content_type == "video/webm":
        return "WebM plays in browsers as it is."
    for stream in facts.streams:
        carried = {"video": VIDEO, "audio": AUDIO, "subtitle": TEXT_SUBTITLES}.get(stream.kind)
        if carried is not None and stream.codec not in carried:
            return f"MP4 cannot carry its {stream.kind} ({stream.codec}) as it is; “Encode for browsers” makes it anew."
    return ""


def encode_anew(attempt: "Attempt") -> str:
    media, facts = attempt.media, attempt.media.facts
    how = decide(facts, BROWSER)
    if how.native:
        return "Browsers play it as it is."
    if not any(stream.action is Action.ENCODE for stream in (*how.of("video"), *how.of("audio"))):
        raise JobFailed("Nothing in it has to be encoded; “Optimise for streaming” makes it MP4 without loss.")
    numbered = list(enumerate(facts.streams))
    video, audio = facts.first("video"), [index for index, stream in numbered if stream.kind == "audio"]
    subtitles = [index for index, stream in numbered if stream.kind == "subtitle"]
    text = texts(facts)

    def command(target: Path, encoder: Encoder) -> list[str]:
        executable = ffmpeg.executable(settings.FFMPEG)
        return commands.encode(executable, media.path, target, FILE, video, audio, text, encoder)

    said = replaced(attempt, command, 0, encodes=video is not None)
    return said if text == subtitles else f"{said} Subtitles that are pictures were left out."

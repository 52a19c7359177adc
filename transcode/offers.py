"""A source and a decision as the lines of a master playlist. Pure."""

from transcode import playlists
from transcode.decision import Decision
from transcode.playlists import Track, Variant
from transcode.renditions import SOUND_BITRATE, Rendition, Source, of_decision

MARGIN = 1.3  # of a copied stream's peaks over its average, which is all that is known


def master(source: Source, decision: Decision, size: int, query: dict[str, str]) -> str | None:
    """`size`: bytes of the file; `query`: what each address repeats. None: there is nothing to play."""
    found = of_decision(decision, source)
    sounds = [rendition for rendition in found if rendition.kind == "audio"]
    videos = [rendition for rendition in found if rendition.kind == "video"]
    if not found:
        return None
    average = int(size * 8 / source.end) if source.end else 8_000_000
    variants = [_variant(video, sounds, source, average) for video in videos] or [
        Variant(f"{sounds[0].name}/index.m3u8", SOUND_BITRATE * 2, ("mp4a.40.2",))
    ]
    texts = [
        _track(f"subtitles-{text.index}/index.m3u8", source, text.index, number)
        for number, text in enumerate(decision.of("subtitle"))
    ]
    tracks = [_track(f"{s.name}/index.m3u8", source, s.stream, n, default=n == 0) for n, s in enumerate(sounds)]
    return playlists.master(variants, tracks, texts, query)


def _variant(video: Rendition, sounds: list[Rendition], source: Source, average: int) -> Variant:
    facts = source.facts.streams[video.stream]
    width, height = facts.width or 0, facts.height or 0
    sound = 2 * SOUND_BITRATE if sounds else 0
    heard = ("mp4a.40.2",) * bool(sounds)
    uri = f"{video.name}/index.m3u8"
    if video.profile is None:
        codec = facts.codec_string
        if facts.codec == "hevc" and "10" in facts.pixel_format:
            codec = "hvc1.2.4.L120.B0"
        return Variant(uri, max(int(average * MARGIN), 1), (codec, *heard), width, height, facts.rate)
    if facts.rotation % 180:
        width, height = height, width
    low = min(video.profile.height, height) // 2 * 2
    fast = (facts.rate or 0) > 30 or low > 1080
    # High profile; the level is what x264 says for such a size and rate, or above.
    codec = "avc1.64002a" if fast else "avc1.640028"
    narrow = round(width * low / height / 2) * 2 if height else 0
    return Variant(uri, video.profile.video_bitrate + sound, (codec, *heard), narrow, low, facts.rate)


def _track(uri: str, source: Source, stream: int, number: int, *, default: bool = False) -> Track:
    """Names must differ within a group (RFC 8216 section 4.3.4.1.1)."""
    language = source.facts.streams[stream].language
    return Track(uri, f"{language or 'Track'} {number + 1}", "" if language == "und" else language, default)

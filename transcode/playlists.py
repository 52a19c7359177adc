"""HLS playlists as text (RFC 8216): complete from the first request, so that the whole bar can be sought. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from transcode.layout import Layout

CONTENT_TYPE = "application/vnd.apple.mpegurl"
VERSION = 7  # EXT-X-MAP for fragmented MP4 (section 7), and nothing newer


@dataclass(frozen=True)
class Variant:
    """One EXT-X-STREAM-INF. `bandwidth`: bits a second at most, sound included; `codecs`: by RFC 6381."""

    uri: str
    bandwidth: int
    codecs: tuple[str, ...]
    width: int | None = None
    height: int | None = None
    rate: float | None = None


@dataclass(frozen=True)
class Track:
    """One EXT-X-MEDIA: a sound track or subtitles. `language`: as the file says it, "" for none."""

    uri: str
    name: str
    language: str
    default: bool = False


def master(
    variants: Sequence[Variant], sounds: Sequence[Track], subtitles: Sequence[Track], query: Mapping[str, str]
) -> str:
    """`query`: what each address repeats."""
    suffix = f"?{urlencode(query)}" if query else ""
    lines = ["#EXTM3U", f"#EXT-X-VERSION:{VERSION}", "#EXT-X-INDEPENDENT-SEGMENTS"]
    lines += [_media("AUDIO", "sound", track, suffix) for track in sounds]
    lines += [_media("SUBTITLES", "text", track, suffix) for track in subtitles]
    for variant in variants:
        lines += [_stream_inf(variant, bool(sounds), bool(subtitles)), variant.uri + suffix]
    return "\n".join([*lines, ""])


def media(layout: Layout, query: Mapping[str, str]) -> str:
    """All segments of a rendition, as `0.m4s`, `1.m4s` and so on, after `init.mp4`."""
    suffix = f"?{urlencode(query)}" if query else ""
    lines = [*_head(layout.target_duration), f'#EXT-X-MAP:URI="init.mp4{suffix}"']
    for number in range(len(layout)):
        lines += [f"#EXTINF:{layout.duration(number):.6f},", f"{number}.m4s{suffix}"]
    return "\n".join([*lines, "#EXT-X-ENDLIST", ""])


def whole(uri: str, duration: float, query: Mapping[str, str]) -> str:
    """One segment that is all there is: subtitles, which are small."""
    suffix = f"?{urlencode(query)}" if query else ""
    lines = [*_head(max(1, -int(-duration // 1))), f"#EXTINF:{duration:.6f},", uri + suffix]
    return "\n".join([*lines, "#EXT-X-ENDLIST", ""])


def _head(target: int) -> list[str]:
    return [
        "#EXTM3U", f"#EXT-X-VERSION:{VERSION}", f"#EXT-X-TARGETDURATION:{target}", "#EXT-X-MEDIA-SEQUENCE:0",
        "#EXT-X-PLAYLIST-TYPE:VOD", "#EXT-X-INDEPENDENT-SEGMENTS",
    ]  # fmt: skip


def _media(kind: str, group: str, track: Track, suffix: str) -> str:
    attributes = [f"TYPE={kind}", f'GROUP-ID="{group}"', f"NAME={_quoted(track.name)}"]
    if track.language:
        attributes.append(f"LANGUAGE={_quoted(track.language)}")
    yes = "YES" if track.default else "NO"
    attributes += [f"DEFAULT={yes}", "AUTOSELECT=YES"]
    return f'#EXT-X-MEDIA:{",".join(attributes)},URI="{track.uri}{suffix}"'


def _stream_inf(variant: Variant, sounds: bool, subtitles: bool) -> str:
    attributes = [f"BANDWIDTH={variant.bandwidth}", f'CODECS="{",".join(variant.codecs)}"']
    if variant.width and variant.height:
        attributes.append(f"RESOLUTION={variant.width}x{variant.height}")
    if variant.rate:
        attributes.append(f"FRAME-RATE={variant.rate:.3f}")
    attributes += ['AUDIO="sound"'] * sounds + ['SUBTITLES="text"'] * subtitles
    return f"#EXT-X-STREAM-INF:{','.join(attributes)}"


def _quoted(text: str) -> str:
    """A quoted-string (section 4.2): it has no quotes, no line ends and no way to write them."""
    return '"' + "".join(" " if c in '"\r\n' or not c.isprintable() else c for c in text) + '"'

"""What a transcode may aim at: one frozen table, in which MEDIASTREAM_PROFILES may change numbers."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from django.conf import settings


@dataclass(frozen=True)
class Profile:
    """H.264 and AAC in 8 bit 4:2:0, which every browser plays. Bit rates are bits a second.

    `height` is the most the picture may have; smaller ones are never blown up. `preset`: of x264.
    """

    name: str
    height: int
    video_bitrate: int
    audio_bitrate: int = 128_000
    preset: str = "veryfast"


BUILT_IN = (
    Profile("360p", 360, 800_000, 96_000),
    Profile("480p", 480, 1_500_000),
    Profile("720p", 720, 3_500_000),
    Profile("1080p", 1080, 7_000_000, 192_000),
)


def table(profiles: Iterable[Profile], changed: Mapping[str, tuple[int, str | None]]) -> dict[str, Profile]:
    """By name. `changed`: bits a second of video, and the preset if another is wanted."""
    return {profile.name: _changed(profile, *changed.get(profile.name, ())) for profile in profiles}


def _changed(profile: Profile, bitrate: int | None = None, preset: str | None = None) -> Profile:
    return replace(profile, video_bitrate=bitrate or profile.video_bitrate, preset=preset or profile.preset)


PROFILES = table(BUILT_IN, settings.ENVIRONMENT.profiles)
DEFAULT = "720p"

"""What FFmpeg may aim at, and how much of the machine it may take for that: one frozen table, in which
MEDIASTREAM_PROFILES may change numbers."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from django.conf import settings

from mediastream.limits import Limits
from transcode.encoders import SOFTWARE, Encoder


@dataclass(frozen=True)
class Profile:
    """H.264 and AAC in 8 bit 4:2:0, which every browser plays. Bit rates are bits a second.

    `height` is the most the picture may have; smaller ones are never blown up. `preset`, `threads`: of x264; 0: as many
    as it likes. `niceness`: by which all of it gives way to the server (nice(1)).
    """

    name: str
    height: int
    video_bitrate: int
    audio_bitrate: int = 128_000
    preset: str = "veryfast"
    threads: int = 0
    niceness: int = 5

    def effort(self, encoder: Encoder) -> dict[str, Any]:
        """What FFmpeg is told of it: hardware has other names for presets, and no use for threads."""
        if encoder is not SOFTWARE:
            return {}
        return {"preset": self.preset, **({"threads:v": self.threads} if self.threads else {})}

    def limits(self, encoder: Encoder) -> Limits:
        return replace(encoder.limits, niceness=self.niceness)


BUILT_IN = (
    Profile("360p", 360, 800_000, 96_000),
    Profile("480p", 480, 1_500_000),
    Profile("720p", 720, 3_500_000),
    Profile("1080p", 1080, 7_000_000, 192_000),
    # A job's, which nobody waits for: in the size that it has, and to a quality; a bit rate would be the most.
    Profile("file", 0, 0, 160_000, "fast", niceness=10),
)


def table(profiles: Iterable[Profile], changed: Mapping[str, Mapping[str, Any]]) -> dict[str, Profile]:
    """By name. `changed`: fields with other values."""
    return {profile.name: replace(profile, **changed.get(profile.name, {})) for profile in profiles}


PROFILES = table(BUILT_IN, settings.ENVIRONMENT.profiles)
FILE = PROFILES.pop("file")
DEFAULT = "720p"

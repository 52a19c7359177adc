"""What a transcode may aim at: one frozen table."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Profile:
    """H.264 and AAC in 8 bit 4:2:0, which every browser plays. Bit rates are bits a second.

    `height` is the most the picture may have; smaller ones are never blown up.
    """

    name: str
    height: int
    video_bitrate: int
    audio_bitrate: int = 128_000


PROFILES = {
    profile.name: profile
    for profile in (
        Profile("360p", 360, 800_000, 96_000),
        Profile("480p", 480, 1_500_000),
        Profile("720p", 720, 3_500_000),
        Profile("1080p", 1080, 7_000_000, 192_000),
    )
}
DEFAULT = "720p"

"""An item as one stream: which of its streams are copied into it, which encoded, and how. Pure.

Without a profile the stream is as near to the file as the player allows: what it decodes is copied, which costs next to
nothing, and the rest is encoded. With one, all is encoded to the profile's size and rates.
"""

from dataclasses import dataclass

from media_library.facts import Facts
from transcode.decision import Action, decide, why_sound_is_not_copied, why_video_is_not_copied
from transcode.player import Player
from transcode.profiles import DEFAULT, PROFILES, Profile
from transcode.renditions import Source

MARGIN = 1.1  # of the container over what is in it


@dataclass(frozen=True)
class Plan:
    """`video`, `audio`: which streams, by their index; None: there is none. `profile`: of what is encoded.

    `copied`: the codec of the video if it is copied, else "". `x264`: which version made it, where that must be known.
    """

    profile: Profile
    start: float
    video: int | None
    audio: int | None
    copied: str = ""
    copies_audio: bool = False
    x264: int | None = None

    @property
    def encodes_video(self) -> bool:
        return self.video is not None and not self.copied

    @property
    def encodes(self) -> bool:
        return self.encodes_video or (self.audio is not None and not self.copies_audio)

    def most_bytes(self, facts: Facts, size: int) -> int | None:
        """A bound on what it takes, by the bit rates; `size`: bytes of the file. None: its length is not known."""
        if facts.duration is None:
            return None
        rate = self.profile.audio_bitrate + (self.profile.video_bitrate if self.encodes_video else 0)
        return int(rate / 8 * facts.duration * MARGIN) + (size if self.copied else 0)


def plan(source: Source, player: Player, profile: Profile | None, start: float) -> Plan:
    """`profile` None: as it is, as far as the player plays it; what it does not is encoded as by DEFAULT.

    The index in `source` is used for starts other than 0 only.
    """
    facts = source.facts
    video, audio = facts.first("video"), facts.first("audio")
    copied, copies_audio = "", False
    if profile is None:
        encoded = {stream.index for stream in decide(facts, player).streams if stream.action is Action.ENCODE}
        if video is not None and video not in encoded and not _no_copy(source, video, start):
            copied = facts.streams[video].codec
        if audio is not None and audio not in encoded:
            copies_audio = not why_sound_is_not_copied(facts, facts.streams[audio])
    x264 = source.x264 if video is not None and not copied else None
    return Plan(profile or PROFILES[DEFAULT], start, video, audio, copied, copies_audio, x264)


def _no_copy(source: Source, video: int, start: float) -> str:
    """From the beginning keyframes do not matter; from elsewhere the one before must be near."""
    return source.no_copy if start else why_video_is_not_copied(source.facts, source.facts.streams[video])

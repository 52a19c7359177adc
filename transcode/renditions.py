"""What an item can be had as over HLS: each rendition a name, which is all that its addresses say. Pure.

Sound and video are apart, so that each sound track is encoded once for all sizes, and a change of size goes on with
the sound as it is.
"""

import re
from dataclasses import dataclass

from media_library.facts import Facts, StreamFacts
from transcode import layout
from transcode.decision import Action, Decision, why_sound_is_not_copied, why_video_is_not_copied
from transcode.index import Index
from transcode.layout import Layout
from transcode.profiles import PROFILES, Profile

_VIDEO = re.compile(r"video-(copy|\d{3,4}p)")
_SOUND = re.compile(r"audio-(0|[1-9]\d?)-(copy|aac)")
SOUND_BITRATE = 160_000  # bits a second of encoded stereo


@dataclass(frozen=True)
class Rendition:
    """`stream`: its index in the file; `profile`: what the video is encoded by; None: copied, or sound."""

    name: str
    kind: str
    stream: int
    copied: bool
    layout: Layout
    profile: Profile | None = None
    x264: int | None = None

    @property
    def encodes_video(self) -> bool:
        return self.profile is not None


@dataclass(frozen=True)
class Source:
    """An item's facts and index together. `no_copy`: why its video is not copied, "" if it is."""

    facts: Facts
    index: Index

    @property
    def end(self) -> float:
        known = [length.duration for length in self.index.lengths if length.duration is not None]
        return self.facts.duration or max(known, default=0.0)

    @property
    def no_copy(self) -> str:
        video = self.facts.first("video")
        if video is None:
            return "there is no video"
        why = why_video_is_not_copied(self.facts, self.facts.streams[video])
        if why:
            return why
        if not self.index.keyframes:
            return "its keyframes are not known"
        gap = layout.longest_gap(self.index.keyframes, self.index.end(video, self.end))
        if gap > layout.LONGEST:
            return f"its keyframes lie up to {gap:.0f} seconds apart"
        return ""

    def video_layout(self) -> Layout:
        video = self.facts.first("video")
        assert video is not None
        end = self.index.end(video, self.end)
        return layout.regular(end) if self.no_copy else layout.on_keyframes(self.index.keyframes, end, self.index.delay)

    def sound_is_copied(self, stream: int) -> bool:
        """Only sound that lasts from the beginning to the end: nothing can be put in for what is missing."""
        length = self.index.lengths[stream] if stream < len(self.index.lengths) else None
        if length is None or why_sound_is_not_copied(self.facts, self.facts.streams[stream]):
            return False
        whole = length.duration is None or length.duration >= self.end - 1.0
        return whole and (length.start or 0.0) < 0.1


def ladder(video: StreamFacts) -> list[Profile]:
    """The profiles a source deserves, the best first: those no higher than it, and the one it just fits in."""
    upright = (video.width if video.rotation % 180 else video.height) or 0
    known = sorted(PROFILES.values(), key=lambda profile: profile.height)
    fitting = [profile for profile in known if profile.height <= upright]
    above = [profile for profile in known if profile.height > upright]
    if above and (not fitting or fitting[-1].height < upright):
        fitting.append(above[0])
    return fitting[::-1]


def named(name: str, source: Source) -> Rendition | None:
    """The rendition of this name, if the source has it."""
    if match := _VIDEO.fullmatch(name):
        return _video(name, match[1], source)
    if match := _SOUND.fullmatch(name):
        return _sound(name, int(match[1]), match[2] == "copy", source)
    return None


def _video(name: str, what: str, source: Source) -> Rendition | None:
    stream = source.facts.first("video")
    if stream is None or (what == "copy" and source.no_copy):
        return None
    if what == "copy":
        return Rendition(name, "video", stream, True, source.video_layout())
    facts = source.facts.streams[stream]
    profile = next((profile for profile in ladder(facts) if profile.name == what), None)
    if profile is None:
        return None
    # Only this kind of H.264 is decoded otherwise by the version of its encoder.
    x264 = source.index.x264 if "444" in facts.pixel_format else None
    return Rendition(name, "video", stream, False, source.video_layout(), profile, x264)


def _sound(name: str, stream: int, copied: bool, source: Source) -> Rendition | None:
    if stream >= len(source.facts.streams) or source.facts.streams[stream].kind != "audio":
        return None
    if copied and not source.sound_is_copied(stream):
        return None
    # Sound that ends early is silent to the end, as far as the item goes.
    cut = layout.regular(source.index.end(stream, source.end)) if copied else layout.packets(source.end)
    return Rendition(name, "audio", stream, copied, cut)


def of_decision(decision: Decision, source: Source) -> list[Rendition]:
    """What a player is offered: video, the best first, then sound in the order of the file."""
    names = []
    for video in decision.of("video"):
        copied = video.action is not Action.ENCODE and not source.no_copy
        facts = source.facts.streams[video.index]
        height = (facts.width if facts.rotation % 180 else facts.height) or 0
        lower = [profile for profile in ladder(facts) if not copied or profile.height < height]
        names += [*(["video-copy"] if copied else []), *(f"video-{profile.name}" for profile in lower)]
    for sound in decision.of("audio"):
        copied = sound.action is not Action.ENCODE and source.sound_is_copied(sound.index)
        names.append(f"audio-{sound.index}-{'copy' if copied else 'aac'}")
    found = [named(name, source) for name in names]
    return [rendition for rendition in found if rendition is not None]

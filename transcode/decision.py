"""How an item reaches a player: its file as it is, its streams copied into another container, or encoded. Pure.

The file goes out as it is when the player plays all of it; that costs nothing. Otherwise the item goes out by HLS,
stream by stream: what the player decodes is copied, which costs next to nothing, and the rest is encoded. Each stream
has its reason in words, for the page, the log and the admin.
"""

from dataclasses import dataclass
from enum import StrEnum

from media_library.facts import Facts, StreamFacts
from transcode.player import Player


class Action(StrEnum):
    """Play: as part of the file. Copy: into HLS as it is. Encode: into what every browser plays. Leave: out."""

    PLAY = "play"
    COPY = "copy"
    ENCODE = "encode"
    LEAVE = "leave"


@dataclass(frozen=True)
class StreamDecision:
    """`index`: of the stream within the file; `reason`: why not better, "" for what is played as it is."""

    index: int
    kind: str
    action: Action
    reason: str = ""

    @property
    def sentence(self) -> str:
        name = {"audio": "sound", "subtitle": "subtitles"}.get(self.kind, self.kind)
        return f"{name}: {self.action}" + (f", {self.reason}" if self.reason else "")


@dataclass(frozen=True)
class Decision:
    """`native`: the file is played as it is. `container`: why it cannot be, as far as that lies in the container."""

    native: bool
    container: str
    streams: tuple[StreamDecision, ...]

    def of(self, kind: str) -> tuple[StreamDecision, ...]:
        return tuple(stream for stream in self.streams if stream.kind == kind and stream.action is not Action.LEAVE)

    @property
    def sentences(self) -> list[str]:
        """The reasons, one for each stream; the container's first."""
        return [*([f"container: {self.container}"] if self.container else []), *(s.sentence for s in self.streams)]

    @property
    def left(self) -> list[str]:
        """Those of streams that are not had at all."""
        return [stream.sentence for stream in self.streams if stream.action is Action.LEAVE]


TEXT_SUBTITLES = frozenset({"subrip", "mov_text", "ass", "ssa", "webvtt", "text"})
# Of these FFmpeg's copy has right times and PyAV an index; AVI has no times for pictures out of their order.
COPIED_FROM = ("mov", "matroska")
_CONTAINERS = {
    "video/mp4": "mp4", "audio/mp4": "mp4", "video/quicktime": "mov", "video/webm": "webm", "audio/webm": "webm",
    "video/x-matroska": "matroska", "audio/x-matroska": "matroska", "video/mp2t": "mpegts", "video/ogg": "ogg",
    "audio/ogg": "ogg", "audio/mpeg": "mp3-file", "audio/flac": "flac-file", "audio/wav": "wav", "audio/aac": "adts",
}  # fmt: skip
_NAMES = {
    "h264": "H.264", "hevc": "HEVC", "vp8": "VP8", "vp9": "VP9", "av1": "AV1", "aac": "AAC", "mp3": "MP3",
    "ac3": "AC-3", "eac3": "E-AC-3", "opus": "Opus", "vorbis": "Vorbis", "flac": "FLAC", "mpeg4": "MPEG-4 Visual",
    "mpeg2video": "MPEG-2", "mpeg1video": "MPEG-1", "dts": "DTS", "prores": "ProRes",
}  # fmt: skip
_PLAIN = ("", "yuv420p", "yuvj420p")


def decide(facts: Facts, player: Player) -> Decision:
    """How `player` gets what `facts` describe."""
    container = _container(facts, player)
    video = [(index, stream) for index, stream in enumerate(facts.streams) if stream.kind == "video"][:1]
    sound = [(index, stream) for index, stream in enumerate(facts.streams) if stream.kind == "audio"]
    played = [*video, *sound[:1]]
    native = not container and len(sound) <= 1 and not any(_obstacle(stream, player) for _, stream in played)
    streams = [
        *(_video(index, stream, facts, player, native) for index, stream in video),
        *(_sound(index, stream, facts, player, native) for index, stream in sound),
        *(_subtitle(index, stream) for index, stream in enumerate(facts.streams) if stream.kind == "subtitle"),
    ]
    if not native and len(sound) > 1 and not container:
        container = f"a file plays only the first of its {len(sound)} sound tracks"
    return Decision(native, container, tuple(streams))


def texts(facts: Facts) -> list[int]:
    """The subtitles that are text, by their index within the file."""
    numbered = enumerate(facts.streams)
    return [index for index, stream in numbered if stream.kind == "subtitle" and stream.codec in TEXT_SUBTITLES]


def _container(facts: Facts, player: Player) -> str:
    word = _CONTAINERS.get(facts.content_type, "other")
    if word in player.plays:
        return ""
    return f"{facts.container.partition(',')[0] or 'this'}, which {player.name} does not open"


def _obstacle(stream: StreamFacts, player: Player) -> str:
    """Why the player does not decode this stream; "" if it does."""
    word = _word(stream)
    if word in player.plays:
        return ""
    base, _, variant = word.partition("-")
    name = _NAMES.get(stream.codec, stream.codec)
    if variant and base in player.plays:
        full = f"{name} {stream.profile or stream.pixel_format}"
        return f"{full}, {player.name} plays {'8 bits' if variant == '10' else '4:2:0'} only"
    return f"{name}, which {player.name} does not play"


def _word(stream: StreamFacts) -> str:
    """What a player must be able to play for it, in the words of player.py."""
    codec, pixels = stream.codec, stream.pixel_format
    if codec.startswith("pcm_"):
        return "pcm"
    if codec not in _NAMES:
        return "other"
    if codec not in ("h264", "hevc") or pixels in _PLAIN:
        return codec
    if "444" in pixels or "422" in pixels or pixels.startswith(("gbr", "rgb", "bgr")):
        return f"{codec}-{'422' if '422' in pixels else '444'}"
    return f"{codec}-10" if any(depth in pixels for depth in ("9", "10", "12", "14")) else codec


def _video(index: int, stream: StreamFacts, facts: Facts, player: Player, native: bool) -> StreamDecision:
    if native:
        return StreamDecision(index, "video", Action.PLAY)
    why = _obstacle(stream, player) or why_video_is_not_copied(facts, stream)
    return StreamDecision(index, "video", Action.ENCODE if why else Action.COPY, why)


def why_video_is_not_copied(facts: Facts, stream: StreamFacts) -> str:
    """Why it cannot be put into HLS as it is, whatever the player; "" if it can."""
    if stream.codec not in ("h264", "hevc"):
        return f"{_NAMES.get(stream.codec, stream.codec)} is not copied into HLS"
    if stream.rotation:
        return f"turned by {stream.rotation}°, which players of HLS pass over"
    return _why_container_is_not_copied(facts)


def _sound(index: int, stream: StreamFacts, facts: Facts, player: Player, native: bool) -> StreamDecision:
    if native:
        return StreamDecision(index, "audio", Action.PLAY)
    why = _obstacle(stream, player) or why_sound_is_not_copied(facts, stream)
    return StreamDecision(index, "audio", Action.ENCODE if why else Action.COPY, why)


def why_sound_is_not_copied(facts: Facts, stream: StreamFacts) -> str:
    """As for video."""
    if stream.codec != "aac" or stream.profile not in ("", "LC"):
        return f"{_NAMES.get(stream.codec, stream.codec)} {stream.profile}".strip() + " is not copied into HLS"
    return _why_container_is_not_copied(facts)


def _why_container_is_not_copied(facts: Facts) -> str:
    if facts.container.startswith(COPIED_FROM):
        return ""
    return f"{facts.container.partition(',')[0]} has no index to cut it by"


def _subtitle(index: int, stream: StreamFacts) -> StreamDecision:
    if stream.codec in TEXT_SUBTITLES:
        return StreamDecision(index, "subtitle", Action.ENCODE, f"{stream.codec} as WebVTT")
    return StreamDecision(index, "subtitle", Action.LEAVE, f"{stream.codec} are pictures, which WebVTT does not carry")

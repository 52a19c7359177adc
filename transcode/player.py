"""What a player can play: by the name of a profile, or by what a page measured.

A page asks its browser by canPlayType for each of these words and sends those it got a yes for. Pixel formats are
not among what it asks: browsers say yes to H.264 High 4:4:4 or High 10 by its codec string and then show nothing, so
only a profile's name grants those.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from mediastream.errors import BadInput

CONTAINERS = frozenset({"mp4", "mov", "webm", "matroska", "mpegts", "ogg", "mp3-file", "flac-file", "wav", "adts"})
MEASURED = CONTAINERS | {
    "h264", "hevc", "hevc-10", "vp8", "vp9", "av1",
    "aac", "mp3", "ac3", "eac3", "opus", "vorbis", "flac", "pcm",
}  # fmt: skip
EVERYTHING = MEASURED | {"h264-10", "h264-422", "h264-444", "other"}
MOST = 400  # characters of a query's list: all words together have fewer


@dataclass(frozen=True)
class Player:
    """`name`: as sentences call it; `plays`: words of EVERYTHING."""

    name: str
    plays: frozenset[str]


# What every browser of the last years plays, and what most do.
BROWSER = Player(
    "this browser",
    frozenset({"mp4", "webm", "ogg", "mp3-file", "flac-file", "wav", "adts"})
    | {"h264", "vp8", "vp9", "aac", "mp3", "opus", "vorbis", "flac", "pcm"},
)
SAFARI = Player(
    "Safari",
    frozenset({"mp4", "mov", "mp3-file", "flac-file", "wav", "adts"})
    | {"h264", "hevc", "hevc-10", "aac", "mp3", "ac3", "eac3", "flac", "pcm"},
)
PLAYERS = {"browser": BROWSER, "safari": SAFARI, "everything": Player("this player", EVERYTHING)}


def parse(query: Mapping[str, str]) -> Player:
    """From `plays` (words with commas between) or `player` (a name); neither: a common browser. Raises BadInput."""
    said, name = query.get("plays"), query.get("player")
    if said is not None and name is not None:
        raise BadInput("Give “plays” or “player”, not both.")
    if said is not None:
        return Player("this browser", _words(said))
    if name is not None and name not in PLAYERS:
        raise BadInput(f"player: there is no such profile. Profiles are {', '.join(PLAYERS)}.")
    return PLAYERS[name or "browser"]


def _words(said: str) -> frozenset[str]:
    words = said.split(",") if said and len(said) <= MOST else []
    if not words and said:
        raise BadInput(f"plays: more than {MOST} characters.")
    for word in words:
        if word not in MEASURED:
            raise BadInput(f"plays: there is no such word. Words are {', '.join(sorted(MEASURED))}.")
    return frozenset(words)

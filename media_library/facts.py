"""What the probe found in a file: frozen values, stored with the row as JSON."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self


@dataclass(frozen=True)
class StreamFacts:
    """One stream. `kind` is video, audio, subtitle, picture (cover art) or data. `rate`: frames or samples
    a second; `codec_string`: as in RFC 6381, "" where none is defined; `rotation`: degrees clockwise."""

    kind: str
    codec: str
    codec_string: str = ""
    profile: str = ""
    pixel_format: str = ""
    width: int | None = None
    height: int | None = None
    rate: float | None = None
    channels: int | None = None
    language: str = ""
    rotation: int = 0

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in values.items() if name in known})


@dataclass(frozen=True)
class Facts:
    """One file. `duration`: seconds, None if the container does not say."""

    container: str
    content_type: str
    duration: float | None
    streams: tuple[StreamFacts, ...]

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Raises KeyError or TypeError if `values` are not what the probe's child prints."""
        streams = tuple(StreamFacts.from_json(stream) for stream in values["streams"])
        return cls(str(values["container"]), str(values["content_type"]), values["duration"], streams)

    def first(self, kind: str) -> int | None:
        """The index, within the file, of the first stream of this kind."""
        return next((index for index, stream in enumerate(self.streams) if stream.kind == kind), None)

    def streams_json(self) -> list[dict[str, Any]]:
        return [asdict(stream) for stream in self.streams]


# Pixel formats every browser's H.264 decoder takes; most refuse 4:2:2, 4:4:4 and 10 bits.
_PLAYABLE_PIXELS = ("", "yuv420p", "yuvj420p")


def browser_type(content_type: str, streams: list[StreamFacts]) -> str:
    """The type for a player's canPlayType, codecs included; "" if it is not worth asking.

    A stream without a codec string cannot be named, and none of those plays in a browser.
    """
    if content_type in ("audio/mpeg", "audio/flac", "audio/wav", "audio/aac"):
        return content_type  # the container says the codec, and browsers refuse some of these with it named
    played = [stream for stream in streams if stream.kind in ("video", "audio")]
    if any(not stream.codec_string or stream.pixel_format not in _PLAYABLE_PIXELS for stream in played):
        return ""
    return f'{content_type}; codecs="{", ".join(stream.codec_string for stream in played)}"'

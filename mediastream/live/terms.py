"""What a camera's row says of its pictures, as a frozen value."""

from dataclasses import dataclass, field

from mediastream.live import sources


@dataclass(frozen=True)
class Terms:
    """Viewers have come on these terms: others are another camera's.

    `fps`: pictures a second at most; `size`: WIDTHxHEIGHT at most, "" as they come; `quality`: FFmpeg's q of
    JPEG, from 2 to 31 and better the lower; `still_every`: seconds, to ask for single pictures;
    `drop_identical`: whether to leave out a picture that is the same as the last.
    """

    source: str
    fps: int
    visibility: str
    username: str = ""
    password: str = field(default="", repr=False)
    size: str = ""
    quality: int = 5
    any_certificate: bool = False
    still_every: int | None = None
    drop_identical: bool = False

    def parsed(self) -> sources.Source:
        """Raises SourceInvalid."""
        return sources.parse(self.source, self.username, self.password)

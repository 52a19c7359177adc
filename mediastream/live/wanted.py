"""What a page asks of the wall's socket, parsed strictly into a value.

    {"show": {"yard": {"fps": 5, "width": 320}, "door": {}}}

names all that is to be shown from now on; what is not named is shown no longer. `fps`: pictures a second, 0.1 to
60, all there are if it is missing; `width`: pixels the tile has, 1 to 10000, the whole picture if it is missing.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

MOST = 64  # cameras on one wall
_SLUG = re.compile(r"[-a-zA-Z0-9_]{1,50}")


@dataclass(frozen=True)
class Tile:
    fps: float | None
    width: int | None


class WantedInvalid(ValueError):
    """The message is none; the text says why."""


def parse(text: str) -> dict[str, Tile]:
    """Raises WantedInvalid."""
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        raise WantedInvalid("it is not JSON") from None
    show = message.get("show") if isinstance(message, dict) and set(message) == {"show"} else None
    if not isinstance(show, dict):
        raise WantedInvalid('it is not {"show": {…}}')
    if len(show) > MOST:
        raise WantedInvalid(f"it shows over {MOST} cameras")
    return {_slug(slug): _tile(slug, tile) for slug, tile in show.items()}


def _slug(slug: str) -> str:
    if _SLUG.fullmatch(slug) is None:
        raise WantedInvalid(f"{slug[:60]!r} is no name of a camera")
    return slug


def _tile(slug: str, tile: Any) -> Tile:
    if not isinstance(tile, dict) or not set(tile) <= {"fps", "width"}:
        raise WantedInvalid(f"{slug} takes fps and width")
    fps, width = tile.get("fps"), tile.get("width")
    if fps is not None and (type(fps) not in (int, float) or not 0.1 <= fps <= 60):
        raise WantedInvalid(f"{slug}: fps is 0.1 to 60")
    if width is not None and (type(width) is not int or not 1 <= width <= 10000):
        raise WantedInvalid(f"{slug}: width is 1 to 10000 pixels")
    return Tile(fps, width)

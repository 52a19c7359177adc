"""What a reader of a topic asks for, parsed strictly from the query and one header. The same for every way out."""

from dataclasses import dataclass

from django.http import QueryDict

from mediastream.errors import BadInput
from mediastream.feeds import cursor
from mediastream.feeds.batch import Want, want
from mediastream.feeds.events import MOST_NAME, Format
from mediastream.feeds.placing import OLDEST

MOST_KEYS = 100


@dataclass(frozen=True)
class Asked:
    want: Want
    after: str | None


def parse(query: QueryDict, form: Format, last_id: str | None = None) -> Asked:
    """`last_id`: the header `Last-Event-ID`. Raises BadInput.

    The header comes from a browser that comes again by itself, to the same address as the first time: so it counts
    before `after`, and one that means nothing is answered by `reset`, as a browser never comes again after a 400.
    """
    after = _one(query, "after")
    if after is not None and after != OLDEST and cursor.parse(after) is None:
        raise BadInput(f"after is the id of an event, such as 1f0c93ab:1042, or {OLDEST}.")
    return Asked(want(form, _keys(query)), last_id if last_id else after)


def text_or_lines(query: QueryDict) -> Format:
    """The format of a chunked stream. Raises BadInput."""
    asked = _one(query, "format") or "ndjson"
    if asked not in ("ndjson", "text"):
        raise BadInput("format is ndjson or text.")
    return Format.TEXT if asked == "text" else Format.NDJSON


def _keys(query: QueryDict) -> frozenset[str] | None:
    """`symbols` is what a market's readers say, `keys` those of any other topic."""
    given = [value for name in ("symbols", "keys") for value in query.getlist(name)]
    if not given:
        return None
    keys = frozenset(key.strip() for value in given for key in value.split(",") if key.strip())
    if not keys or len(keys) > MOST_KEYS or max(map(len, keys)) > MOST_NAME:
        raise BadInput(f"symbols is up to {MOST_KEYS} keys with commas between, such as ACME,INIT.")
    return keys


def _one(query: QueryDict, name: str) -> str | None:
    values = query.getlist(name)
    if len(values) > 1:
        raise BadInput(f"{name} is said more than once.")
    return values[0] if values else None

"""Tickets: who is asking, in a word the browser carries, checked without a session or the database.

A page that shows a player hands it a ticket for the addresses under one path. It says which visitor it was
given to and until when, and is signed with the site's key. It is no right in itself: what its bearer may have
is asked of access.py on every request, as for a session. It dies early when the visitor's version moves on:
with a new password, or when they sign out.

    ticket = user ":" version ":" expiry ":" signature

The signature covers the path too, which the request itself names: a ticket for one item is none for another.
"""

import hmac
import re
import time
from dataclasses import dataclass

from django.conf import settings
from django.utils.crypto import salted_hmac

LIFE = 6 * 3600  # seconds; a longer film goes on by its session
SKEW = 300  # seconds by which the clock that a ticket was issued by may have been ahead of this one
NAME = "ticket"  # of the cookie, and of the query parameter

_FORM = re.compile(r"([0-9]{1,18}):([0-9a-f]{16}):([0-9]{1,12}):([0-9a-f]{40})")


@dataclass(frozen=True)
class Claim:
    """What a ticket says whose signature and expiry are right."""

    user: int
    version: str


def issue(user: int, version: str, path: str, now: float | None = None) -> str:
    """A ticket for what lies under `path`. `version`: 16 hex digits; `now`: Unix seconds."""
    said = f"{user}:{version}:{int(now if now is not None else time.time()) + LIFE}"
    return f"{said}:{_signature(said, path)}"


def read(text: str, path: str, now: float | None = None) -> Claim | None:
    """What it claims; None if it is none, not for this path, over, or from the future."""
    match = _FORM.fullmatch(text) if len(text) < 100 else None
    if match is None:
        return None
    user, version, expiry, signature = match.groups()
    if not hmac.compare_digest(signature, _signature(f"{user}:{version}:{expiry}", path)):
        return None
    # A clock that was once set wrong, to next year for one, must not have given tickets that last until then.
    if not 0 < int(expiry) - (now if now is not None else time.time()) <= LIFE + SKEW:
        return None
    return Claim(int(user), version)


def _signature(said: str, path: str) -> str:
    return salted_hmac("mediastream.tickets", f"{said} {path}", settings.SECRET_KEY, algorithm="sha256").hexdigest()[
        :40
    ]

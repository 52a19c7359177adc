"""What an administrator changes reaches those who are watching.

A signal comes before its transaction is committed, when a viewer who comes just then is still let in by the
former row; so the comparison waits for the commit. It compares all that is open with the rows, not the saved
row alone: that finds the former slug of a renamed camera too.
"""

from typing import Any

from django.db import transaction

from mediastream import homeloop
from mediastream.live import registry
from mediastream.live.models import Camera

DEADLINE = 5.0  # seconds a request waits for the home loop, which only has to begin the end


def end_changed(using: str, **_: Any) -> None:
    """post_save and post_delete of Camera. Robust: the row is stored, whatever becomes of the viewers."""
    transaction.on_commit(_end_changed, using, robust=True)


def _end_changed() -> None:
    """End the cameras of this process that are open on other terms than their row now has.

    Runs in the thread of a request or command. One with nothing open (`manage.py`) starts no home loop.
    """
    opened = registry.open_terms()
    if not opened:
        return
    wanted = {camera.slug: camera.terms for camera in Camera.objects.filter(slug__in=opened)}
    changed = [slug for slug, terms in opened.items() if wanted.get(slug) != terms]
    if changed:
        homeloop.call(registry.end(changed, unless=wanted), DEADLINE)

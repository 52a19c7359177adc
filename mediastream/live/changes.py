"""What an administrator changes reaches those who are watching, and the cameras that are always on or recorded.

A signal comes before its transaction is committed, when a viewer who comes just then is still let in by the
former row; so the comparison waits for the commit. It compares all that is open with the rows, not the saved
row alone: that finds the former slug of a renamed camera too.
"""

import functools
import threading
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from mediastream import ffmpeg, homeloop
from mediastream.live import registry
from mediastream.live.known import cameras
from mediastream.live.models import Camera
from mediastream.live.recording import recorders, shelf
from mediastream.live.recording.recorder import Order
from mediastream.request_threads import in_background, shared_threads

DEADLINE = 5.0  # seconds a request waits for the home loop, which only has to begin what is to be done

_applying = threading.Lock()  # rows that were read before others must not be applied after them


def begin() -> None:
    """This process serves from now on: start the cameras that are always on or recorded. On the home loop."""
    registry.serve()
    in_background(_apply)


def end_changed(instance: Camera, using: str, **_: Any) -> None:
    """post_save and post_delete of Camera. Robust: the row is stored, whatever becomes of the viewers."""
    cameras.changed(instance.slug, using)
    transaction.on_commit(_apply, using, robust=True)


def forget_recordings(instance: Camera, using: str, **_: Any) -> None:
    """post_delete of Camera. In the background: it may be files by the ten thousand."""
    remove = functools.partial(shelf.remove_all, settings.RECORDINGS, instance.pk)
    transaction.on_commit(functools.partial(in_background, remove), using, robust=True)


def end_changed_elsewhere(slug: str) -> None:
    """A notice (watch.py): another process has stored it. On the home loop."""
    in_background(_apply)


def _apply() -> None:
    """End the cameras of this process that are open on other terms than their row now has, and start those that
    are always on or recorded.

    Runs in the thread of a request or command. One with nothing open (`manage.py`) starts no home loop.
    """
    with _applying:
        opened = registry.open_terms()
        if not opened and not registry.serves():
            return
        rows = Camera.objects.filter(Q(slug__in=opened) | Q(always_on=True) | Q(record=True))
        wanted = {row.slug: row.terms for row in rows}
        changed = [slug for slug, terms in opened.items() if wanted.get(slug) != terms]
        if changed:
            homeloop.call(registry.end(changed, unless=wanted), DEADLINE)
        if registry.serves():
            always_on = {row.slug: row.terms for row in rows if row.always_on}
            executable = ffmpeg.executable(settings.FFMPEG)
            homeloop.call(registry.keep_on(always_on, executable), DEADLINE)
            recorded = {row.pk: _to_record(row) for row in rows if row.record}
            homeloop.call(recorders.arrange(recorded, executable, settings.RECORDINGS, _kept), DEADLINE)


def _to_record(row: Camera) -> recorders.Wanted:
    folder = shelf.folder_of(settings.RECORDINGS, row.pk)
    order = Order(row.pk, folder, row.keep, settings.RECORDING_SEGMENT, settings.RECORDING_RESERVE)
    return recorders.Wanted(row.slug, row.terms, order)


async def _kept() -> dict[int, shelf.Keep]:
    async with shared_threads():
        return {row.pk: row.keep async for row in Camera.objects.all()}

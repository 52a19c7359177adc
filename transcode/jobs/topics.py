"""The topics of jobs: `jobs` for administrators, `jobs.<item>` for whoever may see the item.

An event tells of one job as its row is then, and is published by whichever process changed the row. The reason of a
failure is not in it: that may name files of the server's, and is read in the admin.
"""

from contextlib import suppress
from typing import Any

from media_library.items import right_to_named
from mediastream.errors import Busy
from mediastream.feeds import families, hub
from mediastream.feeds.events import Event
from mediastream.feeds.families import Family
from mediastream.feeds.terms import Policy, Terms
from transcode.jobs.models import Job, State

ALL = "jobs"
OF_ITEM = "jobs."


def register() -> None:
    """The last event of each job is kept for who is slow."""
    terms = Terms(Policy.CONFLATE, history=1000)
    families.register(Family(ALL, families.administrators, terms))
    families.register(Family(OF_ITEM, right_to_named, terms))


def tell(job: int) -> None:
    """How it is now."""
    row = Job.objects.filter(pk=job).first()
    if row is None:
        return
    event = Event(said(row), key=str(job))
    with suppress(Busy):
        hub.publish(ALL, event)
        hub.publish(OF_ITEM + str(row.media_id), event)


def said(job: Job) -> dict[str, Any]:
    speed = None if job.speed is None else round(job.speed, 3)
    return {
        "job": job.pk, "item": str(job.media_id), "kind": job.kind, "state": job.state,
        "percent": None if job.percent is None else round(job.percent, 1), "speed": speed, "told": told(job),
    }  # fmt: skip


def told(job: Job) -> str:
    """How it is, in a few words."""
    if job.state != State.RUNNING:
        return job.get_state_display()
    percent = "" if job.percent is None else f" {job.percent:.0f} %"
    speed = "" if not job.speed else f", {job.speed:.3g}x as fast as it plays"
    return f"running{percent}{speed}"

"""Which jobs a stored item gives rise to; receivers of the library's signals."""

import sys
import time
from collections.abc import Iterable
from typing import Any

from media_library.models import Media
from mediastream import spawning
from mediastream.bus import Lease
from mediastream.environment import ROOT
from transcode.decision import texts
from transcode.jobs import queueing
from transcode.jobs.models import UNFINISHED, Job, Kind

PATIENCE = 30.0  # seconds a command waits for a poster that the job worker makes
LOOK = 0.1


def deserved(media: Media) -> list[Kind]:
    """What is made of an item without loss or harm; the poster, for which others may wait, first."""
    pictures = [Kind.POSTER, Kind.THUMBNAILS] if media.facts.first("video") is not None else []
    return [*pictures, *([Kind.SUBTITLES] if texts(media.facts) else [])]


def after_storing(sender: type[Media], media: Media, wait: bool = False, **_: Any) -> None:
    """media_ready. The poster is not left to a job worker that is not there; the rest can wait for one."""
    jobs = {kind: queueing.enqueue(kind, media) for kind in deserved(media)}
    if Kind.POSTER in jobs:
        settle(jobs[Kind.POSTER], PATIENCE if wait else 0.0)
        media.refresh_from_db(fields=["poster"])


def probes(sender: type[Media], items: Iterable[Media], **_: Any) -> None:
    """probe_wanted. Without a job worker, a process of its own does what is queued, and outlives the command."""
    for media in items:
        queueing.enqueue(Kind.PROBE, media)
    if not worker_runs():
        spawning.detach([sys.executable, str(ROOT / "manage.py"), "job_worker", "--until-done"])


def worker_runs() -> bool:
    """Whether somebody does jobs now: the job worker, or a command in its stead."""
    lease = Lease.take(queueing.LEASE)
    if lease is None:
        return True
    lease.release()
    return False


def settle(job: Job, seconds: float) -> None:
    """Have it done: here if there is no job worker, else by that one, which is waited for so long."""
    from transcode.jobs.running import run  # the kinds lead back here

    end = time.monotonic() + seconds
    while Job.objects.filter(pk=job.pk, state__in=UNFINISHED).exists():
        lease = Lease.take(queueing.LEASE)
        if lease is not None:
            try:
                return run(job.pk)
            finally:
                lease.release()
        if time.monotonic() > end:
            return None
        time.sleep(LOOK)
    return None

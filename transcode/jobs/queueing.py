"""Jobs asked for, cancelled, tried again, and taken up after a worker's death. Synchronous; any process.

Who does jobs holds one lease, the job worker as a rule. So whoever gets it knows that nothing runs, and what the rows
call running was left by a dead one.
"""

import functools
import os
from datetime import timedelta

import psutil
from django.db import IntegrityError, transaction
from django.db.models import Exists, F, Q, QuerySet
from django.utils import timezone
from django_q.models import OrmQ
from django_q.tasks import async_task

from media_library.models import Media
from mediastream import bus
from transcode.jobs import topics
from transcode.jobs.models import ENDED, HEAVY, UNFINISHED, Job, Kind, State

LEASE = "jobs"
TOPIC = "job"
TASK = "transcode.jobs.running.run"
KEPT = timedelta(days=30)
MOST_ATTEMPTS = 3  # that ended with their worker; a file that kills it would do so for ever

_FRESH = {"percent": None, "speed": None, "reason": "", "tail": "", "worker": 0, "started_at": None, "ended_at": None}


def enqueue(kind: Kind, media: Media, *, deliver: bool = True) -> Job:
    """The job, or the same one that was asked for before and is not over. `deliver` False: it waits for whoever
    looks at the rows next."""
    try:
        with transaction.atomic():
            job = Job.objects.create(kind=kind, media=media)
            if deliver:
                _deliver(job.pk)
    except IntegrityError:
        found = Job.objects.filter(kind=kind, media=media, state__in=UNFINISHED).first()
        return found or enqueue(kind, media, deliver=deliver)  # it ended in this very moment
    tell(job.pk)
    return job


def _deliver(job: int) -> None:
    async_task(TASK, job)


def tell(job: int) -> None:
    """Let the other processes know, once it is true."""
    transaction.on_commit(functools.partial(bus.notify, TOPIC, str(job)))
    transaction.on_commit(functools.partial(topics.tell, job), robust=True)


def claim(job: int) -> Job | None:
    """Take it, for this process to run; None if somebody else has, if it is over, or while another heavy one runs."""
    heavy = Job.objects.filter(state=State.RUNNING, kind__in=HEAVY)
    free = Job.objects.filter(~Q(kind__in=HEAVY) | ~Exists(heavy), pk=job, state=State.QUEUED)
    taken = free.update(
        **_FRESH | {"started_at": timezone.now(), "worker": os.getpid()},
        state=State.RUNNING,
        attempts=F("attempts") + 1,
    )
    if not taken:
        return None
    tell(job)
    return Job.objects.select_related("media").filter(pk=job).first()


def report(job: int, **fields: object) -> bool:
    """Progress of a running job; False if it is no more to be run: cancelled, or deleted with its item."""
    if not Job.objects.filter(pk=job, state=State.RUNNING).update(**fields):
        return False
    tell(job)
    return True


def finish(job: Job, state: State, **fields: object) -> None:
    """A cancel that came first stands. The next heavy one, which found the place taken, is delivered again."""
    ended = {"ended_at": timezone.now(), "worker": 0}
    Job.objects.filter(pk=job.pk, state=State.RUNNING).update(state=state, **ended, **fields)
    tell(job.pk)
    if job.kind in HEAVY:
        following = Job.objects.filter(state=State.QUEUED, kind__in=HEAVY).order_by("created_at").first()
        if following is not None:
            _deliver(following.pk)


def put_back(job: int) -> None:
    """It was interrupted by no fault of its own."""
    Job.objects.filter(pk=job, state=State.RUNNING).update(**_FRESH, state=State.QUEUED)


def cancel(job: int) -> bool:
    """Whoever runs it sees it within a second, and ends its FFmpeg. False if it was over."""
    ended = {"ended_at": timezone.now(), "worker": 0}
    if not Job.objects.filter(pk=job, state__in=UNFINISHED).update(state=State.CANCELLED, **ended):
        return False
    tell(job)
    return True


def retry(job: int) -> bool:
    """Queue a job that has ended once more; False if it has not, or another of its kind is waiting."""
    try:
        with transaction.atomic():
            again = Job.objects.filter(pk=job, state__in=ENDED).update(**_FRESH, state=State.QUEUED, attempts=0)
            if again:
                _deliver(job)
    except IntegrityError:
        return False
    tell(job)
    return bool(again)


def recover() -> None:
    """Under the lease: messages of before are taken back, and each unfinished job is delivered once, at once.

    A message that a dead worker had taken would be delivered again only after the longest job's time. Rows of jobs that
    ended long ago go.
    """
    with transaction.atomic():
        Job.objects.filter(state__in=ENDED, ended_at__lt=timezone.now() - KEPT).delete()
        OrmQ.objects.all().delete()
        _put_back_lost(Job.objects.filter(state=State.RUNNING))
        for job in Job.objects.filter(state=State.QUEUED).order_by("created_at").values_list("pk", flat=True):
            _deliver(job)


def recover_orphans(parent: int) -> None:
    """The same for jobs whose process among the children of `parent` has died, while others run on."""
    alive = [child.pid for child in psutil.Process(parent).children()]
    with transaction.atomic():
        for job in _put_back_lost(Job.objects.filter(state=State.RUNNING).exclude(worker__in=alive)):
            _deliver(job)


def _put_back_lost(lost: "QuerySet[Job]") -> list[int]:
    given_up = {"reason": f"The job worker died {MOST_ATTEMPTS} times over it.", "ended_at": timezone.now()}
    put_back = []
    for job in lost:
        if job.attempts < MOST_ATTEMPTS:
            Job.objects.filter(pk=job.pk).update(**_FRESH, state=State.QUEUED)
            put_back.append(job.pk)
        else:
            Job.objects.filter(pk=job.pk).update(state=State.FAILED, worker=0, **given_up)
        tell(job.pk)
    return put_back


def next_queued() -> int | None:
    """Under the lease: which is next; when there is none, messages left over are dropped with that knowledge."""
    with transaction.atomic():
        job = Job.objects.filter(state=State.QUEUED).order_by("created_at").values_list("pk", flat=True).first()
        if job is None:
            OrmQ.objects.all().delete()
        return job

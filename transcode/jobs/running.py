"""One attempt at a job, from its claim to its outcome. Called by django-q's workers, and by commands without one.

The database is asked in the caller's thread, children live on the home loop; once a second the one looks at the other:
progress is written, and a job that was cancelled or deleted is left.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import wait
from typing import Any, TypeVar

from django.db import OperationalError
from django_q.exceptions import TimeoutException

from media_library.models import Media
from mediastream import homeloop
from mediastream.errors import Fault, system_fault
from transcode.jobs import kinds, queueing
from transcode.jobs.child import JobFailed, Report
from transcode.jobs.models import Job, Kind, State

logger = logging.getLogger(__name__)
T = TypeVar("T")
EVERY = 1.0  # seconds
FINISH_TRIES = 30
CLEANING_UP = 10.0  # seconds a cancelled coroutine may take to end its child


class Left(Exception):
    """The job is no more to be run: cancelled, or deleted with its item."""


class Attempt:
    """What a kind's work has at hand. `report`: where the running child tells how far it is."""

    def __init__(self, job: Job) -> None:
        self.media: Media = job.media
        self.report = Report()
        self._job = job.pk
        self._told: tuple[Any, ...] = ()

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` at home. Raises Left, after its child has ended."""
        ended = threading.Event()
        future = homeloop.start(_until(work, ended))
        try:
            while not wait([future], EVERY).done:
                self.tell()
            return future.result()
        except BaseException:
            if future.cancel():
                ended.wait(CLEANING_UP)
            raise

    def tell(self) -> None:
        """Raises Left."""
        now = self.report.shown()
        changed = now != self._told
        self._told = now
        percent, speed, tail = now
        fields = {"percent": percent, "speed": speed, "tail": tail} if changed else {"worker": os.getpid()}
        try:
            wanted = queueing.report(self._job, **fields)
        except OperationalError as fault:  # the disk is full, or somebody writes for long; the next look may do
            logger.warning("progress cannot be written job=%d: %s", self._job, fault)
            return
        if not wanted:
            raise Left


async def _until(work: Coroutine[Any, Any, T], ended: threading.Event) -> T:
    try:
        return await work
    finally:
        ended.set()


def run(job: int) -> None:
    """Safe to repeat: what is done, taken or cancelled is passed over."""
    claimed = queueing.claim(job)
    if claimed is None:
        return
    attempt = Attempt(claimed)
    try:
        state, reason = _outcome(claimed, attempt)
    except Left:
        logger.info("job left job=%d kind=%s item=%s", job, claimed.kind, claimed.media_id)
        _finish(claimed, State.CANCELLED)
        return
    except BaseException:
        queueing.put_back(job)
        raise
    percent, speed, tail = attempt.report.shown()
    done = {"percent": 100.0} if state == State.DONE else {"percent": percent}
    _finish(claimed, state, reason=reason, speed=speed, tail=tail, **done)
    logger.info("job %s job=%d kind=%s item=%s: %s", state, job, claimed.kind, claimed.media_id, reason or "-")


def _finish(job: Job, state: State, **fields: Any) -> None:
    """A row that stayed as it is would say for ever that it runs. Raises OperationalError in the end."""
    for _ in range(FINISH_TRIES - 1):
        try:
            return queueing.finish(job, state, **fields)
        except OperationalError as fault:
            logger.warning("the end of a job cannot be written job=%d: %s", job.pk, fault)
            time.sleep(EVERY)
    return queueing.finish(job, state, **fields)


def _outcome(job: Job, attempt: Attempt) -> tuple[State, str]:
    work: Callable[[Attempt], str] = kinds.WORK[Kind(job.kind)]
    try:
        attempt.tell()
        return State.DONE, work(attempt)
    except Left:
        raise
    except (JobFailed, Fault) as fault:
        return State.FAILED, str(fault)
    except TimeoutException:
        return State.FAILED, "It took longer than any job may."
    except OSError as error:
        known = system_fault(error)
        return State.FAILED, known.detail if known else f"The system says: {error.strerror or error}."
    except Exception as error:
        logger.exception("job failed job=%d kind=%s", job.pk, job.kind)
        known = system_fault(error)
        return State.FAILED, known.detail if known else "An error of the server's; its log says more."

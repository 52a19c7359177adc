"""The job worker: does what is queued, one worker for each data folder. `script/server` runs one beside the server."""

import os
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import connections

from media_library.storage import sweep_temporary
from mediastream import forks
from mediastream.bus import Lease
from transcode.jobs import queueing


class Command(BaseCommand):
    help = "Does the jobs that are queued: probes, posters, thumbnails, remuxes, encodes."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--until-done", action="store_true", help="end when nothing is queued any more")
        parser.add_argument("--log-to-stdout", action="store_true", help="for a parent that reads stderr for itself")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["log_to_stdout"]:
            os.dup2(1, 2)
        if options["until_done"]:
            until_done()
        elif not serve():
            raise CommandError("Another job worker has this data folder.")


def until_done() -> None:
    """In this process. Whoever has the lease does our jobs too; what came just when it gave up is looked for again."""
    while True:
        lease = Lease.take(queueing.LEASE)
        if lease is None:
            return
        try:
            sweep_temporary()
            queueing.recover()
            _all()
        finally:
            lease.release()
        if queueing.next_queued() is None:
            return


def _all() -> None:
    from transcode.jobs.running import run

    while (job := queueing.next_queued()) is not None:
        run(job)


def serve() -> bool:
    """django-q2's cluster until a signal ends it; False if another one serves.

    Its processes inherit the lease: it is free when the last of them has gone.
    """
    lease = Lease.take(queueing.LEASE)
    if lease is None:
        return False
    forks.die_with_us()
    sweep_temporary()
    queueing.recover()
    connections.close_all()

    from django_q.cluster import Cluster
    from django_q.signals import post_spawn

    post_spawn.connect(recover_orphans)
    cluster = Cluster()
    cluster.start()
    cluster.sentinel.join()
    sys.exit(cluster.sentinel.exitcode and 1)


def recover_orphans(**_: Any) -> None:
    """In a new process of the pool: the one it replaces may have left a job."""
    queueing.recover_orphans(os.getppid())

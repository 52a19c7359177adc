"""Probes stored items again, as the admin's action does."""

import uuid
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from media_library import ingest
from media_library.models import Media, State


class Command(BaseCommand):
    help = "Probes items and makes their posters; without ids, all that are pending or failed."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("ids", nargs="*", type=uuid.UUID, metavar="UUID")

    def handle(self, *args: Any, **options: Any) -> None:
        wanted = (
            Media.objects.filter(pk__in=options["ids"]) if options["ids"] else Media.objects.exclude(state=State.READY)
        )
        failed = []
        for media in wanted:
            ingest.probe_again(media)
            self.stdout.write(f"{media.pk} {media.state} {media.reason}".rstrip())
            failed += [str(media.pk)] if media.state == State.FAILED else []
        if failed:
            raise CommandError(f"{len(failed)} could not be probed: {', '.join(failed)}")

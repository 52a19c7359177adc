"""Stores files as an upload would."""

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from media_library import ingest
from media_library.models import Media, State
from media_library.signals import probe_wanted
from mediastream.access import Visibility
from mediastream.errors import Fault


class Command(BaseCommand):
    help = "Stores files in the library, waits until they are ready, and prints a JSON line for each."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
        parser.add_argument("--title", default="", help="instead of the file's name")
        parser.add_argument("--visibility", choices=Visibility.values, default=Visibility.MEMBERS)
        parser.add_argument(
            "--no-wait",
            action="store_true",
            help="leave the probe to the job worker, or without one to a process of its own",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        stored: list[Media] = []
        try:
            for path in options["files"]:
                media = self._store(path, options)
                stored.append(media)
                self.stdout.write(json.dumps({"id": str(media.pk), "title": media.title, **media.links()}))
        finally:
            # What is stored is told and probed, even if a later file stops the command.
            if options["no_wait"] and stored:
                probe_wanted.send(Media, items=stored)

    def _store(self, path: Path, options: dict[str, Any]) -> Media:
        try:
            media = ingest.add_file(
                path, title=options["title"], visibility=options["visibility"], probe=not options["no_wait"]
            )
        except Fault as fault:
            raise CommandError(f"{path}: {fault.detail}") from None
        except OSError as fault:
            raise CommandError(f"{path}: {fault.strerror}") from None
        if media.state == State.FAILED:
            raise CommandError(f"{path}: stored as {media.pk}, but: {media.reason}")
        return media

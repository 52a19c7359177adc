"""Adds a camera."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.urls import reverse

from mediastream.access import Visibility
from mediastream.live.models import Camera


class Command(BaseCommand):
    help = "Adds a camera and prints a JSON line with its addresses."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("slug")
        parser.add_argument("source", help="an address, the path of a file, /dev/videoN or test-pattern")
        parser.add_argument("--name", default="")
        parser.add_argument("--always-on", action="store_true", help="run it while nobody watches, too")
        parser.add_argument("--record", action="store_true", help="keep its pictures as video")
        parser.add_argument("--visibility", choices=Visibility.values, default=Visibility.MEMBERS)

    def handle(self, *args: Any, **options: Any) -> None:
        slug = options["slug"]
        camera = Camera(
            slug=slug,
            source=options["source"],
            name=options["name"] or slug,
            visibility=options["visibility"],
            always_on=options["always_on"],
            record=options["record"],
        )
        try:
            camera.full_clean()
        except ValidationError as fault:
            raise CommandError(
                "; ".join(f"{field}: {' '.join(said)}" for field, said in fault.message_dict.items())
            ) from None
        camera.save()
        names = {"page": "live:camera", "mjpeg": "live:mjpeg", "snapshot": "live:snapshot"}
        links = {key: reverse(name, args=[slug]) for key, name in names.items()}
        self.stdout.write(json.dumps({"slug": slug, **links}))

"""Opens a source once, and tells what it gives."""

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from mediastream import ffmpeg, homeloop
from mediastream.access import Visibility
from mediastream.live import trial
from mediastream.live.models import Camera
from mediastream.live.sources import SourceInvalid
from mediastream.live.terms import Terms


class Command(BaseCommand):
    help = "Opens a camera's source once, for some seconds at most, and prints a JSON line with what it gives."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("camera", metavar="SLUG or SOURCE", help="a camera that is stored, or any source")
        parser.add_argument("--save", type=Path, metavar="FILE", help="store the picture there")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            given = homeloop.call(trial.attempt(ffmpeg.executable(settings.FFMPEG), _terms(options["camera"])))
        except SourceInvalid as fault:
            raise CommandError(f"there is no such camera, and it is not a source: {fault}") from None
        if given.failure is not None:
            for line in given.failure.lines:
                self.stderr.write(line)
        if given.frame is None:
            raise CommandError(f"no picture: {given.failure}")
        if options["save"] is not None:
            options["save"].write_bytes(given.frame.jpeg)
        self.stdout.write(json.dumps(_facts(given)))


def _terms(text: str) -> Terms:
    stored = Camera.objects.filter(slug=text).first()
    return stored.terms if stored is not None else Terms(text, 25, Visibility.PRIVATE)


def _facts(given: trial.Trial) -> dict[str, Any]:
    assert given.facts is not None
    width, height = given.facts.size or (None, None)
    return {
        "codec": given.facts.codec,
        "width": width,
        "height": height,
        "fps": round(given.rate, 1) if given.rate is not None else given.facts.rate,
        "copied": given.facts.copied,
        "seconds": round(given.seconds, 2),
    }

"""What script/server does by Django before it serves, in one process: each takes a second to load all of it."""

from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand


class Command(BaseCommand):
    help = "Brings the database and the static files up to date, and makes the demo of a first run."

    def handle(self, *args: Any, **options: Any) -> None:
        call_command("migrate", verbosity=0)
        call_command("collectstatic", interactive=False, verbosity=0)
        call_command("first_run", stdout=self.stdout, stderr=self.stderr)

"""What script/server does by Django before it serves, in one process: each takes a second to load all of it.

Most starts find all of it done. Then neither the database's state is worked out nor are the static files hashed anew,
which takes as long as loading Django, and for a moment leaves a server that still runs without them.
"""

import hashlib
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.contrib.staticfiles.storage import staticfiles_storage
from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.db import connection
from django.db.migrations.executor import MigrationExecutor


class Command(BaseCommand):
    help = "Brings the database and the static files up to date, and makes the demo of a first run."

    def handle(self, *args: Any, **options: Any) -> None:
        marker = Path(settings.DATA_DIR) / "set_up_done"  # what was done last, to its end
        executor = MigrationExecutor(connection)
        newest = executor.loader.graph.leaf_nodes()
        wanted = _fingerprint(newest)
        done = marker.exists() and marker.read_text() == wanted
        # A database of before may have been put back, or static files removed.
        if not done or executor.migration_plan(newest) or not _files_are_there():
            marker.unlink(missing_ok=True)
            call_command("migrate", verbosity=0)
            call_command("collectstatic", interactive=False, verbosity=0)
            marker.write_text(wanted)
        call_command("first_run", stdout=self.stdout, stderr=self.stderr)


def _fingerprint(newest: list[tuple[str, str]]) -> str:
    """Another one when a static file, or the newest migration of an app, is another."""
    lines = [f"{app} {name}" for app, name in newest]
    for finder in get_finders():
        for name, storage in finder.list([]):
            found = Path(storage.path(name)).stat()
            lines.append(f"{name} {found.st_size} {found.st_mtime_ns}")
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


def _files_are_there() -> bool:
    hashed = staticfiles_storage.hashed_files  # type: ignore[attr-defined]
    return bool(hashed) and all(staticfiles_storage.exists(name) for name in hashed.values())

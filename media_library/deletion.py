"""A deleted row takes its files with it, once the deletion is certain."""

import functools
from typing import Any

from django.db import transaction

from media_library.ingest import forget
from media_library.models import Media


def forget_files(sender: type[Media], instance: Media, **kwargs: Any) -> None:
    transaction.on_commit(functools.partial(forget, instance.file.name or "", instance.poster.name or ""))

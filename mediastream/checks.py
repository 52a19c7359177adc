"""Settings, servers and kernels that break streams: Django's system checks, and one look at run time.

`manage.py check` runs without the server, so it sees Django's settings, and gunicorn's where they are in the
environment. What else there is to know of a WSGI server stands in the environ of each request (PEP 3333): the
first one is looked at, and what is found is logged once. ASGI tells nothing of the kind.

gunicorn's `--timeout` is not among them. It ends a worker whose main thread does not report, and so a stream
under the sync class; under gthread the main thread reports whatever its streams do.
"""

import argparse
import os
import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register  # noqa: A004 - Django's name
from django.middleware.gzip import GZipMiddleware
from django.utils.module_loading import import_string

from mediastream.exiting import pidfd_open

GUIDE = "See docs/servers.md."
UNFIT = {
    "sync": "serves one request at a time, and ends a stream that lasts longer than its --timeout",
    "gevent": "puts greenlets in the place of threads, in which the cameras' event loop cannot run",
    "eventlet": "puts greenlets in the place of threads, in which the cameras' event loop cannot run",
}


def register_all() -> None:
    register(check_middleware)
    register(check_gunicorn)
    register(check_kernel)


def check_kernel(**_: Any) -> list[CheckMessage]:
    """Before the first FFmpeg fails for it (exiting.py)."""
    try:
        os.close(pidfd_open(os.getpid()))
    except OSError as fault:
        text = f"This system cannot tell of a child's end by pidfd_open(2): {fault.strerror}."
        hint = "Linux 5.3 or later has it; a container's seccomp profile must allow it."
        return [Error(text, hint=hint, id="mediastream.E001")]
    return []


def check_middleware(**_: Any) -> list[CheckMessage]:
    return [
        Warning(
            f"MIDDLEWARE has {name}. Under WSGI servers it labels files and streams as gzip that are not, so that "
            "no player can read them; elsewhere it holds streaming pages back.",
            hint="Take it out, and let a proxy in front compress pages.",
            id="mediastream.W001",
        )
        for name in settings.MIDDLEWARE
        if _is_gzip(import_string(name))
    ]


def _is_gzip(middleware: Any) -> bool:
    return isinstance(middleware, type) and issubclass(middleware, GZipMiddleware)


def check_gunicorn(environ: Mapping[str, str] = os.environ, **_: Any) -> list[CheckMessage]:
    """GUNICORN_CMD_ARGS goes over the configuration file, and gunicorn says nothing of it."""
    parser = argparse.ArgumentParser(add_help=False, exit_on_error=False)
    parser.add_argument("-k", "--worker-class", default="")
    parser.add_argument("-w", "--workers", default="1")
    try:
        given, _others = parser.parse_known_args(shlex.split(environ.get("GUNICORN_CMD_ARGS", "")))
    except (ValueError, argparse.ArgumentError):  # gunicorn itself will say what it cannot read
        return []
    return [*_worker_class(given.worker_class), *_workers(given.workers)]


def _worker_class(name: str) -> Iterator[CheckMessage]:
    # "gevent", "egg:gunicorn#gevent" and "gunicorn.workers.ggevent.GeventWorker" are one.
    for known, fault in UNFIT.items():
        if known in re.split(r"[^a-z]+|worker$", name.lower()):
            yield Warning(
                f"GUNICORN_CMD_ARGS sets the worker class {name}, which {fault}.",
                hint=f"Leave it out, or use gthread. {GUIDE}",
                id="mediastream.W002",
            )


def _workers(number: str) -> Iterator[CheckMessage]:
    if number.isdigit() and int(number) > 1:
        yield _several(f"GUNICORN_CMD_ARGS sets {number} workers")


def _several(found: str) -> CheckMessage:
    return Warning(
        f"{found}. Each opens its own cameras and counts its own transcodes, and a camera that is made private "
        "or deleted ends for its viewers in one of them alone.",
        hint=f"Use one process. {GUIDE}",
        id="mediastream.W003",
    )


def check_wsgi(environ: Mapping[str, Any], uwsgi_options: Mapping[str, Any]) -> Iterator[CheckMessage]:
    """What the first request under a WSGI server shows. `uwsgi_options`: `uwsgi.opt`, or nothing."""
    if not environ.get("wsgi.multithread"):
        yield Warning(
            "This WSGI server serves one request at a time: a single viewer keeps everybody else waiting, and "
            "cameras may stand still between requests.",
            hint=f"Give it threads: --worker-class gthread --threads 32 for gunicorn, --threads 32 for uWSGI. {GUIDE}",
            id="mediastream.W004",
        )
    if environ.get("wsgi.multiprocess"):
        yield _several("This WSGI server has several processes")
    if uwsgi_options:
        yield from _uwsgi(uwsgi_options)


def _uwsgi(options: Mapping[str, Any]) -> Iterator[CheckMessage]:
    if "harakiri" in options:
        yield Warning(
            "uWSGI's harakiri kills the process, with all its streams, as soon as one lasts longer than it allows.",
            hint=f"Leave it out. {GUIDE}",
            id="mediastream.W005",
        )
    if "socket-timeout" not in options:
        yield Warning(
            "uWSGI disconnects a viewer who takes no byte for four seconds: whoever pauses a film.",
            hint=f"Add --socket-timeout 60. {GUIDE}",
            id="mediastream.W006",
        )

"""What is warned of, and what is not."""

import errno
import logging
import os
from typing import Any

import pytest
from django.conf import LazySettings
from django.core.checks import run_checks
from django.middleware.gzip import GZipMiddleware

from mediastream import checks
from mediastream.wsgi import MediaWSGIHandler
from tests.core import test_wsgi
from tests.core.test_wsgi import Call
from tests.media_library.conftest import make_media

OF_A_SERVER = {"wsgi.multithread": True, "wsgi.multiprocess": False}


class Compress(GZipMiddleware):
    """Somebody's own."""


def ids(found: Any) -> list[str]:
    return [message.id for message in found]


def test_nothing_is_wrong_with_our_own_settings() -> None:
    assert [message for message in run_checks() if (message.id or "").startswith("mediastream.")] == []


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EPERM])
def test_a_system_that_does_not_tell_of_a_childs_end_is_an_error(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def fail(pid: int) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(checks, "pidfd_open", fail)
    (message,) = [message for message in run_checks() if message.id == "mediastream.E001"]
    assert os.strerror(number) in message.msg


@pytest.mark.parametrize("name", ["django.middleware.gzip.GZipMiddleware", "tests.core.test_checks.Compress"])
def test_compression_is_warned_of(settings: LazySettings, name: str) -> None:
    settings.MIDDLEWARE = [name, *settings.MIDDLEWARE]
    (message,) = [message for message in run_checks() if message.id == "mediastream.W001"]
    assert name in message.msg


@pytest.mark.django_db
def test_compression_breaks_what_it_is_said_to_break(settings: LazySettings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.MIDDLEWARE = ["django.middleware.gzip.GZipMiddleware", *settings.MIDDLEWARE]
    monkeypatch.setattr(test_wsgi, "application", MediaWSGIHandler())
    call = Call(f"/media/{make_media(bytes(5000)).pk}/file", HTTP_ACCEPT_ENCODING="gzip")
    assert call.headers["Content-Encoding"] == "gzip"
    assert call.read() == bytes(5000)


@pytest.mark.parametrize(
    ("arguments", "warned"),
    [
        ("", []),
        ("--max-requests 1000 --log-level debug", []),
        ("-k gthread --threads 8 --timeout 5", []),
        ("--worker-class=mediastream.server.worker.MediaWorker", []),
        ("-k asgi", []),
        ("-k uvicorn.workers.UvicornWorker", []),
        ("-k gunicorn.workers.base_async.AsyncWorker", []),
        ("-k sync", ["W002"]),
        ("-ksync", ["W002"]),
        ("--worker-class=egg:gunicorn#sync", ["W002"]),
        ("--worker-class gunicorn.workers.sync.SyncWorker", ["W002"]),
        ("-k gevent", ["W002"]),
        ("-k gunicorn.workers.ggevent.GeventWorker", ["W002"]),
        ("-w 1", []),
        ("-w4", ["W003"]),
        ("--workers 2 -k eventlet", ["W002", "W003"]),
        ("-w", []),
        ("--bind 'unclosed", []),
    ],
)
def test_arguments_for_gunicorn(arguments: str, warned: list[str]) -> None:
    found = checks.check_gunicorn({"GUNICORN_CMD_ARGS": arguments})
    assert ids(found) == [f"mediastream.{name}" for name in warned]


def test_the_check_reads_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GUNICORN_CMD_ARGS", "-k sync")
    assert "mediastream.W002" in ids(run_checks())


@pytest.mark.parametrize(
    ("environ", "options", "warned"),
    [
        ({}, {}, []),
        ({"wsgi.multithread": False}, {}, ["W004"]),
        ({"wsgi.multiprocess": True}, {}, ["W003"]),
        ({}, {"master": True, "socket-timeout": b"60"}, []),
        ({}, {"master": True, "harakiri": b"30", "socket-timeout": b"60"}, ["W005"]),
        ({}, {"master": True}, ["W006"]),
    ],
)
def test_a_wsgi_server(environ: dict[str, bool], options: dict[str, Any], warned: list[str]) -> None:
    found = checks.check_wsgi(OF_A_SERVER | environ, options)
    assert ids(found) == [f"mediastream.{name}" for name in warned]


@pytest.mark.django_db
def test_the_first_request_is_looked_at(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(test_wsgi, "application", MediaWSGIHandler())
    with caplog.at_level(logging.WARNING, "mediastream.wsgi"):
        for _ in range(2):
            Call("/healthz/live", **{"wsgi.multithread": ""}).read()
    assert [record.getMessage().split()[-1] for record in caplog.records] == ["(mediastream.W004)"]

"""The same surface under WSGI servers: `manage.py runserver` first of all.

Request bodies have the bounds of request_bodies.py here too; streams are pulled through
`StreamResponse.__iter__`, or sent by the server itself where it can (wsgi_servers.py).
"""

import logging
import os
import sys
from collections.abc import Callable, Iterable
from typing import Any

import aiohttp  # noqa: F401  # as in asgi.py
import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mediastream.settings")
django.setup(set_prefix=False)

from django.conf import settings  # noqa: E402
from django.core.handlers.wsgi import WSGIHandler  # noqa: E402
from django.http import HttpResponse, parse_cookie  # noqa: E402

from mediastream import checks, stopping, watch  # noqa: E402
from mediastream.access import session_may_upload  # noqa: E402
from mediastream.errors import BadInput, Fault  # noqa: E402
from mediastream.faults import fault_response  # noqa: E402
from mediastream.request_bodies import SMALL_BODY, Bounds, content_length  # noqa: E402
from mediastream.responses import StreamResponse, stream_responses  # noqa: E402
from mediastream.wsgi_servers import bound_writes, by_file_wrapper, can_hang_up  # noqa: E402

Environ = dict[str, Any]
logger = logging.getLogger(__name__)


class MediaWSGIHandler(WSGIHandler):
    """Django's WSGI handler behind the bounds on request bodies."""

    def __init__(self) -> None:
        super().__init__()
        self._bounds: Bounds = settings.REQUEST_BODY_BOUNDS
        self._looked_at_server = False

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:  # type: ignore[override]
        if not self._looked_at_server:
            self._looked_at_server = True
            _warn_of_server(environ)
        try:
            self._check_body(environ)
        except Fault as fault:
            return _send(fault_response(fault, environ.get("HTTP_ACCEPT", "")), start_response)
        watch.begin_at_home()
        with stream_responses() as made:
            response: Any = None
            try:
                response = super().__call__(environ, start_response)
            finally:
                for stream in made:
                    if stream is not response:  # else the server closes it
                        stream.close()
            bound_writes(environ, response)
            if isinstance(response, StreamResponse):
                can_hang_up(environ, start_response, response)
                _close_after(start_response)
            return by_file_wrapper(environ, response) or response

    def _check_body(self, environ: Environ) -> None:
        # Django's WSGIRequest reads exactly Content-Length bytes, so a chunked body would be taken for none.
        if "HTTP_TRANSFER_ENCODING" in environ:
            raise BadInput("Send this request with a Content-Length; chunked bodies are not taken here.")
        declared = content_length(environ.get("CONTENT_LENGTH"))
        path = environ.get("PATH_INFO", "")
        may_upload = (
            declared > SMALL_BODY and self._bounds.takes_uploads(path) and session_may_upload(_session_key(environ))
        )
        self._bounds.check(path, declared, may_upload=may_upload)
        self._bounds.check_room(declared)


def _warn_of_server(environ: Environ) -> None:
    options = getattr(sys.modules.get("uwsgi"), "opt", {})
    for found in checks.check_wsgi(environ, options):
        logger.warning("%s %s (%s)", found.msg, found.hint, found.id)


def _close_after(start_response: Callable[..., Any]) -> None:
    """Have `runserver` close the connection after this response. It keeps it for the next request even after one
    that broke off before its promised length, and its client would wait for the rest for good."""
    handler = getattr(getattr(start_response, "__self__", None), "request_handler", None)
    if handler is not None:
        handler.close_connection = True


def _session_key(environ: Environ) -> str | None:
    return parse_cookie(environ.get("HTTP_COOKIE", "")).get(settings.SESSION_COOKIE_NAME)


def _send(response: HttpResponse, start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response(f"{response.status_code} {response.reason_phrase}", list(response.items()))
    return [response.content]


# At import: gunicorn loads the application in its worker's main thread, after it has installed its handlers.
stopping.listen()
application = MediaWSGIHandler()

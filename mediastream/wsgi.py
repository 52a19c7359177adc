"""The same surface under WSGI servers: `manage.py runserver` first of all.

Request bodies have the bounds of request_bodies.py here too; streams are pulled through
`StreamResponse.__iter__`.
"""

import os
from collections.abc import Callable, Iterable
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mediastream.settings")
django.setup(set_prefix=False)

from django.conf import settings  # noqa: E402
from django.core.handlers.wsgi import WSGIHandler  # noqa: E402
from django.http import HttpResponse, parse_cookie  # noqa: E402

from mediastream.access import session_may_upload  # noqa: E402
from mediastream.errors import BadInput, Fault  # noqa: E402
from mediastream.faults import fault_response  # noqa: E402
from mediastream.request_bodies import SMALL_BODY, Bounds, content_length  # noqa: E402
from mediastream.responses import stream_responses  # noqa: E402

Environ = dict[str, Any]


class MediaWSGIHandler(WSGIHandler):
    """Django's WSGI handler behind the bounds on request bodies."""

    def __init__(self) -> None:
        super().__init__()
        self._bounds: Bounds = settings.REQUEST_BODY_BOUNDS

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:  # type: ignore[override]
        try:
            self._check_body(environ)
        except Fault as fault:
            return _send(fault_response(fault, environ.get("HTTP_ACCEPT", "")), start_response)
        with stream_responses() as made:
            response: Any = None
            try:
                response = super().__call__(environ, start_response)
            finally:
                for stream in made:
                    if stream is not response:  # else the server closes it
                        stream.close()
            return response  # type: ignore[no-any-return]

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


def _session_key(environ: Environ) -> str | None:
    return parse_cookie(environ.get("HTTP_COOKIE", "")).get(settings.SESSION_COOKIE_NAME)


def _send(response: HttpResponse, start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response(f"{response.status_code} {response.reason_phrase}", list(response.items()))
    return [response.content]


application = MediaWSGIHandler()

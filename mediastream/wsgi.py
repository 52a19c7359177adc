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
from django.contrib.auth import get_user  # noqa: E402
from django.core.handlers.wsgi import WSGIHandler, WSGIRequest  # noqa: E402
from django.http import HttpResponse  # noqa: E402
from django.utils.module_loading import import_string  # noqa: E402

from mediastream.access import UPLOAD_PERMISSION  # noqa: E402
from mediastream.errors import BadInput, Fault  # noqa: E402
from mediastream.faults import fault_response  # noqa: E402
from mediastream.request_bodies import SMALL_BODY, Bounds, content_length  # noqa: E402

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
        return super().__call__(environ, start_response)

    def _check_body(self, environ: Environ) -> None:
        # Django's WSGIRequest reads exactly Content-Length bytes, so a chunked body would be taken for none.
        if "HTTP_TRANSFER_ENCODING" in environ:
            raise BadInput("Send this request with a Content-Length; chunked bodies are not taken here.")
        declared = content_length(environ.get("CONTENT_LENGTH"))
        path = environ.get("PATH_INFO", "")
        may_upload = declared > SMALL_BODY and self._bounds.takes_uploads(path) and _may_upload(environ)
        self._bounds.check(path, declared, may_upload=may_upload)
        self._bounds.check_room(declared)


def _may_upload(environ: Environ) -> bool:
    request = WSGIRequest(environ)
    store = import_string(f"{settings.SESSION_ENGINE}.SessionStore")
    request.session = store(request.COOKIES.get(settings.SESSION_COOKIE_NAME))
    return bool(get_user(request).has_perm(UPLOAD_PERMISSION))


def _send(response: HttpResponse, start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response(f"{response.status_code} {response.reason_phrase}", list(response.items()))
    return [response.content]


application = MediaWSGIHandler()

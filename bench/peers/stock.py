"""Plain Django as its documentation has it: stock middleware, an async StreamingHttpResponse, 64 KB chunks."""

import os
import re
from collections.abc import AsyncIterator
from pathlib import Path

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, StreamingHttpResponse
from django.urls import path

FILE = Path(os.environ["STOCK_FILE"])
CHUNK = 64 * 1024

settings.configure(
    SECRET_KEY="of no worth here",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"],
    SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.middleware.clickjacking.XFrameOptionsMiddleware",
    ],
)


async def pieces(start: int, stop: int) -> AsyncIterator[bytes]:
    with FILE.open("rb") as file:
        file.seek(start)
        while start < stop:
            piece = file.read(min(CHUNK, stop - start))
            start += len(piece)
            yield piece


async def serve(request: HttpRequest) -> StreamingHttpResponse:
    size = FILE.stat().st_size
    asked = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("Range", "bytes=0-"))
    assert asked is not None
    start, stop = int(asked[1]), int(asked[2] or size - 1) + 1
    headers = {"Content-Length": str(stop - start), "Content-Range": f"bytes {start}-{stop - 1}/{size}"}
    return StreamingHttpResponse(pieces(start, stop), status=206, content_type="video/mp4", headers=headers)


urlpatterns = [path("file.mp4", serve)]
application = get_asgi_application()

"""Live pictures by plain Django as tutorials have it: a generator for each viewer, which waits for the next picture.

One task reads the pictures for all, which is better than tutorials do. A viewer who is slow gets the latest when it is
done with the last.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from itertools import cycle
from pathlib import Path

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, StreamingHttpResponse
from django.urls import path

PICTURES = [each.read_bytes() for each in sorted(Path(os.environ["STOCK_PICTURES"]).iterdir())]
EVERY = 0.04  # seconds

settings.configure(SECRET_KEY="of no worth here", ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__)

latest = b""
changed = asyncio.Condition()
capturing: list[asyncio.Task[None]] = []


async def capture() -> None:
    global latest
    loop = asyncio.get_running_loop()
    due = loop.time()
    for picture in cycle(PICTURES):
        head = (
            f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\nX-Timestamp: {time.time():.6f}"
        )
        latest = head.encode() + b"\r\n\r\n" + picture + b"\r\n"
        async with changed:
            changed.notify_all()
        due += EVERY
        await asyncio.sleep(due - loop.time())


async def pictures() -> AsyncIterator[bytes]:
    while True:
        async with changed:
            await changed.wait()
        yield latest


async def serve(request: HttpRequest) -> StreamingHttpResponse:
    if not capturing:
        capturing.append(asyncio.create_task(capture()))
    return StreamingHttpResponse(pictures(), content_type="multipart/x-mixed-replace; boundary=frame")


urlpatterns = [path("mjpeg", serve)]
application = get_asgi_application()

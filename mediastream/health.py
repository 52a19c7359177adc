"""Is this process alive, and can it serve? For supervisors and load balancers."""

import os

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import Error
from django.http import HttpRequest, HttpResponseBase, JsonResponse

from mediastream import drain, ffmpeg
from mediastream.faults import allow


@allow("GET", "HEAD")
async def live(request: HttpRequest) -> HttpResponseBase:
    """200 as long as the loop turns."""
    return _answer({})


@allow("GET", "HEAD")
async def ready(request: HttpRequest) -> HttpResponseBase:
    """200, or 503 with what is missing: the database, the data folder, FFmpeg; or the server is stopping."""
    faults = {}
    try:
        await get_user_model().objects.aexists()
    except Error as fault:
        faults["database"] = str(fault)
    if not os.access(settings.DATA_DIR, os.W_OK):
        faults["data_dir"] = "not writable"
    try:
        ffmpeg.executable(settings.FFMPEG)
    except ffmpeg.FFmpegMissing as fault:
        faults["ffmpeg"] = str(fault)
    if drain.begun():
        faults["server"] = "stopping"
    return _answer(faults)


def _answer(faults: dict[str, str]) -> JsonResponse:
    status = {"status": "ok"} if not faults else {"status": "unavailable", "faults": faults}
    return JsonResponse(status, status=503 if faults else 200, headers={"Cache-Control": "no-store"})

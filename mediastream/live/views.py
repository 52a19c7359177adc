"""The wall, a camera's page, its stream and its snapshot."""

import time
from collections.abc import Coroutine
from typing import Any, TypeVar

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.urls import path

from mediastream import access, ffmpeg, homeloop
from mediastream.errors import SourceFailed, Unknown
from mediastream.faults import allow, sign_in
from mediastream.http.multipart import MIXED_TYPE
from mediastream.lean import lean
from mediastream.live import registry
from mediastream.live.camera import Terms
from mediastream.live.models import Camera
from mediastream.responses import StreamResponse, headers_only

T = TypeVar("T")


async def _visible(request: HttpRequest, slug: str) -> Camera:
    try:
        camera = await Camera.objects.aget(slug=slug)
    except Camera.DoesNotExist:
        raise Unknown(f"There is no camera “{slug}”; /live/ lists those there are.") from None
    await access.admit(request, camera.visibility, None)
    return camera


@allow("GET", "HEAD")
async def wall(request: HttpRequest) -> HttpResponseBase:
    visitor = await request.auser()
    cameras = [camera async for camera in Camera.objects.all() if access.may_see(visitor, camera.visibility, None)]
    return render(request, "live/wall.html", {"cameras": cameras, "user": visitor})


@sign_in
@allow("GET", "HEAD")
async def page(request: HttpRequest, slug: str) -> HttpResponseBase:
    camera = await _visible(request, slug)
    return render(request, "live/camera.html", {"camera": camera, "user": await request.auser()})


@lean
@allow("GET", "HEAD")
async def mjpeg(request: HttpRequest, slug: str) -> HttpResponseBase:
    camera = await _visible(request, slug)
    if request.method == "HEAD":
        return _uncached(headers_only(MIXED_TYPE))
    body = await _opened(request, registry.open_mjpeg(*_opening(camera)))
    response = StreamResponse(body, MIXED_TYPE)
    try:
        # A change ends what is open then (changes.py); this camera was not yet while its row was read.
        await _visible(request, slug)
    except BaseException:
        await response.aclose()
        raise
    return _uncached(response)


@lean
@allow("GET", "HEAD")
async def snapshot(request: HttpRequest, slug: str) -> HttpResponseBase:
    camera = await _visible(request, slug)
    if request.method == "HEAD":
        return _uncached(headers_only("image/jpeg"))
    frame = await _opened(request, registry.snapshot(*_opening(camera)))
    response = HttpResponse(frame.jpeg, content_type="image/jpeg")
    response["X-Timestamp"] = f"{frame.captured:.6f}"
    response["X-Frame-Age"] = f"{max(time.time() - frame.captured, 0):.3f}"
    response["X-Content-Type-Options"] = "nosniff"
    return _uncached(response)


def _opening(camera: Camera) -> tuple[str, Terms, str]:
    return camera.slug, camera.terms, ffmpeg.executable(settings.FFMPEG)


async def _opened(request: HttpRequest, work: Coroutine[Any, Any, T]) -> T:
    """Await it at home; why a source fails is for administrators alone, as it names hosts and files of ours."""
    try:
        return await homeloop.run(work)
    except SourceFailed as fault:
        if access.is_administrator(await request.auser()):
            raise
        detail = "The camera gives no picture now. It is tried again by itself."
        raise SourceFailed(detail, fault.retry_after) from None


def _uncached(response: HttpResponseBase) -> HttpResponseBase:
    """A picture of now is worth nothing later; nginx must not hold it back either."""
    response["Cache-Control"] = "private, no-store"
    response["X-Accel-Buffering"] = "no"
    return response


urlpatterns = [
    path("", wall, name="wall"),
    path("<slug:slug>/", page, name="camera"),
    path("<slug:slug>/mjpeg", mjpeg, name="mjpeg"),
    path("<slug:slug>/snapshot.jpg", snapshot, name="snapshot"),
]

"""The wall, a camera's page, its streams and its snapshot."""

import re
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.urls import path

from mediastream import access, ffmpeg, homeloop
from mediastream.bodies import Body
from mediastream.errors import BadInput, EncoderFailed, SourceFailed, Unknown
from mediastream.faults import allow, sign_in
from mediastream.http.multipart import MIXED_TYPE
from mediastream.lean import lean
from mediastream.live import registry, videos
from mediastream.live.chat import room_of
from mediastream.live.condition import State
from mediastream.live.known import KnownCamera, right_to
from mediastream.live.models import Camera
from mediastream.live.recording import views as recording
from mediastream.live.terms import Terms
from mediastream.responses import StreamResponse, headers_only
from mediastream.streams import Label

T = TypeVar("T")

FPS = 0.1, 60.0  # pictures a second a viewer may want at most
AGES = 0.0, 86400.0  # seconds
_NUMBER = re.compile(r"\d{1,6}(\.\d{1,6})?", re.ASCII)


@allow("GET", "HEAD")
async def wall(request: HttpRequest) -> HttpResponseBase:
    visitor = await request.auser()
    cameras = [camera async for camera in Camera.objects.all() if access.may_see(visitor, camera.visibility, None)]
    return render(request, "live/wall.html", {"cameras": cameras, "user": visitor})


@sign_in
@allow("GET", "HEAD")
async def page(request: HttpRequest, slug: str) -> HttpResponseBase:
    right = await right_to(request, slug)
    camera = await Camera.objects.filter(slug=slug).afirst()
    if camera is None:  # the row it was let in by is a moment old
        raise Unknown(f"There is no camera “{slug}”; /live/ lists those there are.")
    visitor = await request.auser()
    may_save = await visitor.ahas_perm(access.UPLOAD_PERMISSION)
    context = {"camera": camera, "user": visitor, "may_save": may_save, "room": room_of(camera)}
    response = render(request, "live/camera.html", context)
    right.give_ticket(request, response)
    return response


@lean
@allow("GET", "HEAD")
async def mjpeg(request: HttpRequest, slug: str) -> HttpResponseBase:
    right = await right_to(request, slug)
    fps = _number(request, "fps", FPS)
    if request.method == "HEAD":
        return _uncached(headers_only(MIXED_TYPE))
    body = await _opened(request, registry.open_mjpeg(*_opening(right.item), fps))
    return await _stream(request, body, MIXED_TYPE, Label("mjpeg", slug))


@lean
@allow("GET", "HEAD")
async def video(request: HttpRequest, slug: str) -> HttpResponseBase:
    """Low-latency H.264. Its codec is known, and told, once there is a picture."""
    right = await right_to(request, slug)
    if request.method == "HEAD":
        response = _uncached(headers_only("video/mp4"))
    else:
        body = await _opened(request, videos.open_video(*_opening(right.item)))
        response = await _stream(request, body, body.init.content_type, Label("video", slug))
    response["Accept-Ranges"] = "none"
    return response


async def _stream(request: HttpRequest, body: Body, content_type: str, label: Label) -> HttpResponseBase:
    response = StreamResponse(body, content_type, label)
    try:
        # A change ends what is open then (changes.py); this camera was not yet while its row was read.
        response.right = right = await right_to(request, label.item)
    except BaseException:
        await response.aclose()
        raise
    right.give_ticket(request, response)
    return _uncached(response)


@lean
@allow("GET", "HEAD")
async def snapshot(request: HttpRequest, slug: str) -> HttpResponseBase:
    """HEAD tells how the camera is, and starts nothing: the pages ask it."""
    right = await right_to(request, slug)
    max_age = _number(request, "max_age", AGES)
    if request.method == "HEAD":
        now = registry.condition(slug, right.item.terms)
        return _of_now(headers_only("image/jpeg"), now.state, now.captured)
    frame, state = await _opened(request, registry.snapshot(*_opening(right.item), max_age))
    right = await right_to(request, slug)  # the source may have taken seconds to open
    response = HttpResponse(frame.jpeg, content_type="image/jpeg")
    response["X-Content-Type-Options"] = "nosniff"
    right.give_ticket(request, response)
    return _of_now(response, state, frame.captured)


def _of_now(response: HttpResponseBase, state: State, captured: float | None) -> HttpResponseBase:
    response["X-Camera-State"] = state.value
    if captured is not None:
        response["X-Timestamp"] = f"{captured:.6f}"
        response["X-Frame-Age"] = f"{max(time.time() - captured, 0):.3f}"
    return _uncached(response)


def _number(request: HttpRequest, name: str, bounds: tuple[float, float]) -> float | None:
    """A number in the query; None if it is not there. Raises BadInput."""
    given = request.GET.getlist(name)
    if not given:
        return None
    least, most = bounds
    if len(given) > 1 or not _NUMBER.fullmatch(given[0]) or not least <= float(given[0]) <= most:
        raise BadInput(f"{name} is one number from {least:g} to {most:g}, such as 2.5.")
    return float(given[0])


def _opening(camera: KnownCamera) -> tuple[str, Terms, str]:
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
    except EncoderFailed as fault:
        if access.is_administrator(await request.auser()):
            raise
        detail = "The camera's H.264 cannot be made now, but its MJPEG can be had. It is tried again by itself."
        raise EncoderFailed(detail, fault.retry_after) from None


def _uncached(response: HttpResponseBase) -> HttpResponseBase:
    """A picture of now is worth nothing later; nginx must not hold it back either."""
    response["Cache-Control"] = "private, no-store"
    response["X-Accel-Buffering"] = "no"
    return response


urlpatterns = [
    path("", wall, name="wall"),
    path("<slug:slug>/", page, name="camera"),
    path("<slug:slug>/mjpeg", mjpeg, name="mjpeg"),
    path("<slug:slug>/stream.mp4", video, name="video"),
    path("<slug:slug>/snapshot.jpg", snapshot, name="snapshot"),
    *recording.urlpatterns,
]

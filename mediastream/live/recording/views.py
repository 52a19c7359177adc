"""What is recorded of a camera: a list of it, and any span of it as one MP4. By the same right as its pictures."""

import asyncio
import time
from pathlib import Path

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.urls import path

from mediastream import access
from mediastream.errors import Fault, system_fault
from mediastream.faults import allow
from mediastream.lean import lean
from mediastream.live.known import KnownCamera, right_to
from mediastream.live.recording import recorders, times
from mediastream.live.recording.names import stretches
from mediastream.live.recording.playing import Recorded, look
from mediastream.live.recording.shelf import folder_of, listed
from mediastream.responses import content_response
from mediastream.streams import Label

SHOWN = 86_400_000  # milliseconds that are listed unless others are asked for


def folder(camera: KnownCamera) -> Path:
    return folder_of(settings.RECORDINGS, camera.pk)


@lean
@allow("GET", "HEAD")
async def what_there_is(request: HttpRequest, slug: str) -> HttpResponseBase:
    """Stretches without a gap, in Unix seconds, and how the recording is."""
    right = await right_to(request, slug)
    now = round(time.time() * 1000)
    asked = "from" in request.GET or "to" in request.GET
    start, end = times.span(request.GET) if asked else (now - SHOWN, now)
    found = await asyncio.to_thread(listed, folder(right.item), start, end)
    right.check()
    state, detail = recorders.state_of(right.item.pk, right.item.record)
    told = {"detail": detail} if detail and access.is_administrator(await request.auser()) else {}
    answer = {
        "now": now / 1000, "from": start / 1000, "to": end / 1000, "state": state.value, **told,
        "stretches": [{"start": stretch.start / 1000, "end": stretch.end / 1000} for stretch in stretches(found)],
    }  # fmt: skip
    response = JsonResponse(answer)
    response["Cache-Control"] = "private, no-store"
    response["X-Content-Type-Options"] = "nosniff"
    right.give_ticket(request, response)
    return response


@lean
@allow("GET", "HEAD")
async def span(request: HttpRequest, slug: str) -> HttpResponseBase:
    """The segments that have a part of the span, as one file: it begins up to a segment earlier than asked."""
    right = await right_to(request, slug)
    start, end = times.span(request.GET)
    recorded = await asyncio.to_thread(found_of, right.item, start, end)
    response = content_response(
        request,
        recorded,
        identity=recorded.identity,
        content_type="video/mp4",
        cache_control="private, no-cache",
        label=Label("recording", slug),
        right=right,
    )
    response["X-Timestamp"] = f"{recorded.span.start / 1000:.6f}"
    return response


def found_of(camera: KnownCamera, start: int, end: int) -> Recorded:
    """What is recorded of it; waits for the disk. Raises Unknown, or what the disk says as a Fault."""
    try:
        return look(folder(camera), start, end)
    except OSError as fault:
        raise system_fault(fault) or Fault(f"The recordings cannot be read ({fault.strerror}).") from None


urlpatterns = [
    path("<slug:slug>/recording.json", what_there_is, name="recordings"),
    path("<slug:slug>/recording.mp4", span, name="recording"),
]

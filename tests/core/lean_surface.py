"""The URLconf of test_lean.py."""

from django.core.exceptions import BadRequest, PermissionDenied, SuspiciousOperation
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.urls import path

from mediastream.errors import Busy, Fault, NoRight, Unknown
from mediastream.faults import allow
from mediastream.lean import lean
from tests.server.surface import dots

SECRET = "a detail for the log alone"


RAISED: dict[str, Exception] = {
    "bug": ValueError(SECRET),
    "unknown": Unknown("Not here."),
    "django-404": Http404("no"),
    "no-right": NoRight(),
    "django-403": PermissionDenied("no"),
    "django-400": BadRequest("no"),
    "suspicious": SuspiciousOperation("no"),
    "busy": Busy("Later.", 5),
    "own-500": Fault("The disk is broken."),
}
STATUSES = {"bug": 500, "unknown": 404, "django-404": 404, "no-right": 403, "django-403": 403, "django-400": 400}
STATUSES |= {"suspicious": 400, "busy": 503, "own-500": 500}


@lean
@allow("GET", "HEAD")
async def hello(request: HttpRequest) -> HttpResponseBase:
    return HttpResponse(f"hello {request.GET.get('name', 'you')}", headers={"Content-Length": "9"})


@lean
@allow("GET", "HEAD")
async def stream(request: HttpRequest) -> HttpResponseBase:
    return dots(7)


@lean
async def raising(request: HttpRequest, what: str) -> HttpResponseBase:
    raise RAISED[what]


@lean
async def returning(request: HttpRequest, status: int) -> HttpResponseBase:
    return HttpResponse("as it is", status=status)


@lean
async def whoami(request: HttpRequest) -> HttpResponseBase:
    return HttpResponse((await request.auser()).get_username())


@lean
async def chained(request: HttpRequest) -> HttpResponseBase:
    """Whether a middleware has seen it."""
    return HttpResponse(str(hasattr(request, "csrf_processing_done")))


async def page(request: HttpRequest) -> HttpResponseBase:
    return HttpResponse("a page")


handler400 = "mediastream.faults.bad_request"
handler403 = "mediastream.faults.forbidden"
handler404 = "mediastream.faults.not_found"
handler500 = "mediastream.faults.server_error"
urlpatterns = [
    path("hello", hello),
    path("stream", stream),
    path("raising/<slug:what>", raising),
    path("returning/<int:status>", returning),
    path("whoami", whoami),
    path("chained", chained),
    path("page", page),
]

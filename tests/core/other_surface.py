"""A second URLconf for test_lean.py: the same address, and another view, which takes the long road."""

from django.http import HttpRequest, HttpResponse
from django.urls import path


async def plain(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"plain {hasattr(request, 'csrf_processing_done')}")


urlpatterns = [path("hello", plain)]

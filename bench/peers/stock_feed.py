"""django-eventstream as its documentation has it: one topic, without storage, in one process."""

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import include, path

settings.configure(
    SECRET_KEY="of no worth here",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django_eventstream"],
)


async def publish(request: HttpRequest) -> HttpResponse:
    from django_eventstream import send_event

    send_event("bench", "message", request.body.decode(), json_encode=False)
    return HttpResponse()


async def ready(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


urlpatterns = [
    path("", ready),
    path("publish", publish),
    path("events", include("django_eventstream.urls"), {"channels": ["bench"]}),
]
application = get_asgi_application()

"""The short road through Django, for the addresses whose bytes are many and whose requests come often.

Each middleware with synchronous hooks is a hop to a thread and back; Django's stock six are eleven of
them, which is five times what a range costs otherwise. A view marked here is called without them:

| left out | instead |
|---|---|
| SecurityMiddleware, XFrameOptionsMiddleware | the responses say nosniff; their bytes are no pages |
| SessionMiddleware, AuthenticationMiddleware | `request.session` and `request.auser`, read only, when asked |
| CommonMiddleware | the Host is checked here; such addresses have no slash to append |
| CsrfViewMiddleware | these views take GET and HEAD alone |
| MessageMiddleware | nothing is shown |
| FaultMiddleware | faults are answered here |

Under WSGI servers and in Django's test clients the same views run behind the whole chain.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth.middleware import auser
from django.core.handlers.exception import response_for_exception
from django.http import HttpRequest, HttpResponseBase
from django.urls import Resolver404, ResolverMatch, resolve
from django.utils.module_loading import import_string

from mediastream.errors import Fault
from mediastream.faults import respond

View = TypeVar("View", bound=Callable[..., Any])


def lean(view: View) -> View:
    """Mark an async view that takes the short road; outermost of its decorators."""
    view.lean = True  # type: ignore[attr-defined]
    return view


def lean_match(request: HttpRequest) -> ResolverMatch | None:
    """The view for this request, if it is one of ours."""
    try:
        match = resolve(request.path_info)
    except Resolver404:
        return None
    return match if getattr(match.func, "lean", False) else None


async def lean_response(request: HttpRequest, match: ResolverMatch) -> HttpResponseBase:
    """Call the view; whatever it raises becomes a response, as Django would make it."""
    request.resolver_match = match
    store = import_string(f"{settings.SESSION_ENGINE}.SessionStore")
    request.session = store(request.COOKIES.get(settings.SESSION_COOKIE_NAME))
    request.auser = partial(auser, request)
    try:
        request.get_host()
        response: HttpResponseBase = await match.func(request, *match.args, **match.kwargs)
    except Fault as fault:
        return respond(request, fault)
    except Exception as fault:
        response = await sync_to_async(response_for_exception, thread_sensitive=False)(request, fault)
    return response

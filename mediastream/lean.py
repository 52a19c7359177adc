"""The short road through Django, for the addresses whose bytes are many and whose requests come often.

Each middleware with synchronous hooks is a hop to a thread and back; Django's stock six are eleven of
them, which is five times what a range costs otherwise. A view marked here is called without them:

| left out | instead |
|---|---|
| SecurityMiddleware, XFrameOptionsMiddleware | the responses say nosniff; their bytes are no pages |
| SessionMiddleware, AuthenticationMiddleware | `request.session` and `request.auser`, read only, when asked |
| CommonMiddleware | the Host is checked here; such addresses have no slash to append |
| CsrfViewMiddleware | these views take GET and HEAD alone, or check a token of their own |
| MessageMiddleware | nothing is shown |
| FaultMiddleware | faults are answered here |

Under WSGI servers and in Django's test clients the same views run behind the whole chain.
"""

from collections.abc import AsyncIterator, Callable
from functools import cached_property, lru_cache
from typing import Any, TypeVar

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth.middleware import auser
from django.core.handlers.asgi import ASGIRequest, get_script_prefix
from django.core.handlers.exception import response_for_exception
from django.http import HttpResponseBase
from django.urls import Resolver404, ResolverMatch, get_resolver
from django.utils.log import log_response
from django.utils.module_loading import import_string

from mediastream.errors import Fault, system_fault
from mediastream.faults import caught
from mediastream.receiving import Disconnected

MOST_HOSTS = 1000  # that are known to be ours; a site under *.example.org has any number of them

_allowed: set[tuple[str, ...]] = set()  # a Host that has come, and what was allowed then

View = TypeVar("View", bound=Callable[..., Any])


def lean(view: View) -> View:
    """Mark an async view that takes the short road; outermost of its decorators."""
    view.lean = True  # type: ignore[attr-defined]
    return view


def takes_body(most: int) -> Callable[[View], View]:
    """A lean view that reads its request's body itself, as it comes: `async for piece in request.pieces`.

    `most`: bytes, past which the reading raises BodyTooLarge.
    """

    def mark(view: View) -> View:
        view.most_body = most  # type: ignore[attr-defined]
        return lean(view)

    return mark


class LeanRequest(ASGIRequest):
    """`session`: read only. `pieces`: the body as it comes, for a view that takes it."""

    pieces: AsyncIterator[bytes]

    @cached_property
    def session(self) -> Any:  # type: ignore[override]
        store = import_string(f"{settings.SESSION_ENGINE}.SessionStore")
        return store(self.COOKIES.get(settings.SESSION_COOKIE_NAME))

    async def auser(self) -> Any:
        return await auser(self)


def lean_match(scope: dict[str, Any]) -> ResolverMatch | None:
    """The view for this request, if it is one of ours."""
    prefix = get_script_prefix(scope)
    path = scope["path"]
    match = _match(settings.ROOT_URLCONF, path.removeprefix(prefix) if prefix else path)
    return match if match is not None and getattr(match.func, "lean", False) else None


@lru_cache(1024)
def _match(urlconf: str, path: str) -> ResolverMatch | None:
    """Players ask for the same address again and again, and no view changes its match."""
    try:
        return get_resolver(urlconf).resolve(path)
    except Resolver404:
        return None


def _check_host(request: LeanRequest) -> None:
    """Raises DisallowedHost. As Django does it, but once for each Host that comes: a crowd's is the same. Where there
    is none, or a proxy has another word for it, it is no matter of this header alone."""
    host: str | None = request.META.get("HTTP_HOST")
    if host is None or settings.USE_X_FORWARDED_HOST:
        request.get_host()
        return
    known = host, *settings.ALLOWED_HOSTS
    if known in _allowed:
        return
    request.get_host()
    if settings.ALLOWED_HOSTS and len(_allowed) < MOST_HOSTS:
        _allowed.add(known)


async def lean_response(request: LeanRequest, match: ResolverMatch) -> HttpResponseBase:
    """Call the view; whatever it raises becomes a response, and whatever fails is logged, as Django would do it.
    Raises Disconnected, who asked being gone."""
    request.resolver_match = match
    try:
        _check_host(request)
        response: HttpResponseBase = await match.func(request, *match.args, **match.kwargs)
    except Fault as fault:
        return caught(request, fault)
    except Disconnected:
        raise
    except Exception as fault:
        if (passing := system_fault(fault)) is not None:
            return caught(request, passing)
        response = await sync_to_async(response_for_exception, thread_sensitive=False)(request, fault)
    if response.status_code >= 400:
        reason = response.reason_phrase
        log_response("%s: %s", reason, request.path, response=response, request=request)  # type: ignore[arg-type]
    return response

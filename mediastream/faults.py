"""Errors become HTTP here, once: a page for a person, a short JSON body for a player or script."""

import functools
import logging
import sys
from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, ParamSpec

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.template.loader import render_to_string
from django.utils.log import log_response

from mediastream.errors import (
    BadInput,
    Exhausted,
    Fault,
    MethodNotAllowed,
    NoRight,
    SignInNeeded,
    Unknown,
    system_fault,
)
from mediastream.seldom import Seldom

P = ParamSpec("P")
_ran_out = Seldom(logging.getLogger(__name__))

View = Callable[Concatenate[HttpRequest, P], Coroutine[Any, Any, HttpResponseBase]]

TITLES = {
    400: "That request makes no sense", 401: "Sign in first", 403: "Not yours to see", 404: "Nothing here",
    405: "Not like that", 408: "Too slow", 409: "Not ready", 413: "Too large", 415: "Not media", 429: "Not so fast",
    503: "Busy", 507: "No room left",
}  # fmt: skip


def fault_response(fault: Fault, accept: str) -> HttpResponse:
    """The answer to `fault` for a client with this Accept header: HTML only for who names it, as browsers do."""
    response: HttpResponse
    if isinstance(fault, Exhausted):
        _ran_out.warning("answered 503, as the system gives no more: %s", fault.reason)
    if "text/html" in accept:
        title = TITLES.get(fault.status, "Something went wrong")
        page = render_to_string("error.html", {"title": title, "detail": fault.detail, "status": fault.status})
        response = HttpResponse(page, status=fault.status)
    else:
        response = JsonResponse({"error": fault.error, "detail": fault.detail}, status=fault.status)
    for name, value in fault.headers.items():
        response[name] = value
    response["Content-Length"] = str(len(response.content))
    response["Cache-Control"] = "no-store"
    # Django logs each 5xx as an error; a limit reached or a camera that is off is none of ours.
    response._has_been_logged = fault.status != 500  # type: ignore[attr-defined]
    response["X-Content-Type-Options"] = "nosniff"
    return response


def respond(request: HttpRequest, fault: Fault) -> HttpResponse:
    return fault_response(fault, request.headers.get("Accept", ""))


def caught(request: HttpRequest, fault: Fault) -> HttpResponse:
    """The answer to what a view raised. If we are to blame, the log gets the reason too."""
    response = respond(request, fault)
    if fault.status == 500:
        log_response("%s: %s", fault.detail, request.path, response=response, request=request, exception=fault)
    return response


class FaultMiddleware:
    """Turns a Fault raised by a view into its answer."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        fault = exception if isinstance(exception, Fault) else system_fault(exception)
        return caught(request, fault) if fault is not None else None


def allow(*methods: str) -> Callable[[View[P]], View[P]]:
    """Only these methods reach the view; others get 405 with Allow (RFC 9110 section 15.5.6)."""

    def decorate(view: View[P]) -> View[P]:
        @functools.wraps(view)
        async def guarded(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
            if request.method not in methods:
                raise MethodNotAllowed(methods)
            return await view(request, *args, **kwargs)

        # A view that only reads has nothing to forge, and Django would answer 403 to a POST instead of 405.
        guarded.csrf_exempt = set(methods) <= {"GET", "HEAD"}  # type: ignore[attr-defined]
        return guarded

    return decorate


def sign_in(view: View[P]) -> View[P]:
    """A page, so a person without a right to it is asked to sign in rather than told 401."""

    @functools.wraps(view)
    async def asking(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        try:
            return await view(request, *args, **kwargs)
        except SignInNeeded:
            return redirect_to_login(request.get_full_path())

    return asking


# Django's handlers for what is raised outside our views (urls.py names them).


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return respond(request, BadInput("The request is malformed: check its address, headers and form fields."))


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    return respond(request, NoRight("You have no right to do this."))


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return respond(request, Unknown("There is nothing at this address; it may have been deleted or mistyped."))


def server_error(request: HttpRequest) -> HttpResponse:
    """Also for what is raised by a middleware, where Django asks no other for an answer."""
    error = sys.exc_info()[1]
    fault = system_fault(error) if error is not None else None
    if fault is not None:
        return respond(request, fault)
    return respond(request, Fault("The server failed; its log says why. Try again, and tell its owner if it stays."))


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    return respond(request, NoRight("This form has expired or came from another site: reload the page and try again."))

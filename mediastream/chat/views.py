"""Where messages come in. They go out as a topic (topic.py)."""

import json
from typing import Any

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.urls import path

from mediastream import access
from mediastream.chat import rooms, saying
from mediastream.errors import BadInput, SignInNeeded
from mediastream.faults import allow


@allow("POST")
async def say(request: HttpRequest, room: str) -> HttpResponseBase:
    """One message, `text` in JSON or a form. By session alone: a ticket lets its bearer see, and not speak."""
    right = await rooms.right_to(request, room)
    user = await request.auser()
    if not (user.is_authenticated and user.is_active):
        raise SignInNeeded("Sign in at /accounts/login/ to write here.")
    access.require(user, right.item.visibility, right.item.owner_id)
    message = await sync_to_async(saying.say)(room, user, _text(request))
    return JsonResponse({"id": message.pk}, status=201, headers={"Cache-Control": "no-store"})


def _text(request: HttpRequest) -> str:
    """Raises BadInput."""
    given: Any = request.POST
    if request.content_type == "application/json":
        try:
            given = json.loads(request.body)
        except (ValueError, RecursionError):
            given = None
    text = given.get("text") if hasattr(given, "get") else None
    if not isinstance(text, str):
        raise BadInput('A message is a form with a field text, or JSON: {"text": "hello"}.')
    return text


urlpatterns = [path("chat/<str:room>/messages", say, name="say")]

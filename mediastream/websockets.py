"""The WebSocket surface, one table.

A browser sends cookies along with a handshake from any page, so each one must come from a page of ours:
Origin is checked against the allowed hosts. Who may see what is asked by the consumers.
"""

from typing import Any

from channels.routing import URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.urls import path

from mediastream import homeloop, watch
from mediastream.delivery import Receive, Scope, Send
from mediastream.feeds.websocket import FeedSocket
from mediastream.live.wall import Wall

_sockets = [path("ws/live/", Wall.as_asgi()), path("ws/feeds/<str:topic>/", FeedSocket.as_asgi())]
_router = AllowedHostsOriginValidator(URLRouter(_sockets))


async def websocket(scope: Scope, receive: Receive, send: Send) -> None:
    homeloop.adopt()
    watch.begin()
    try:
        await _router(scope, receive, send)
    except ValueError as fault:  # Channels: no route
        if "No route found" not in str(fault):
            raise
        await receive()
        await send({"type": "websocket.close", "code": 1008, "reason": "there is no socket at this address"})


def addresses() -> list[Any]:
    """The patterns of the table, for tests."""
    return list(_router.application.routes)

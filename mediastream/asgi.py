"""The ASGI application: a scope's type says who answers it."""

import os
from typing import Any

import aiohttp  # noqa: F401  # so that the loop is not held up when the first source by HTTP is opened
import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mediastream.settings")
django.setup(set_prefix=False)

from mediastream import stopping  # noqa: E402
from mediastream.delivery import CONNECTION, Receive, Scope, Send  # noqa: E402
from mediastream.handler import MediaHandler  # noqa: E402
from mediastream.lifespan import lifespan  # noqa: E402
from mediastream.websockets import websocket  # noqa: E402

_http = MediaHandler()


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    kind: Any = scope["type"]
    if kind == "http":
        # Not at lifespan startup: some servers install their handlers after it, and Daphne has no lifespan.
        if CONNECTION not in scope.get("extensions", {}):
            stopping.listen()
        await _http(scope, receive, send)
    elif kind == "lifespan":
        await lifespan(receive, send)
    elif kind == "websocket":
        await websocket(scope, receive, send)
    else:
        raise ValueError(f"unknown ASGI scope {kind}")

"""The ASGI application: a scope's type says who answers it."""

import os
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mediastream.settings")
django.setup(set_prefix=False)

from mediastream.handler import MediaHandler, Receive, Scope, Send  # noqa: E402
from mediastream.lifespan import lifespan  # noqa: E402

_http = MediaHandler()


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    kind: Any = scope["type"]
    if kind == "http":
        await _http(scope, receive, send)
    elif kind == "lifespan":
        await lifespan(receive, send)
    elif kind == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008, "reason": "there is no socket at this address"})
    else:
        raise ValueError(f"unknown ASGI scope {kind}")

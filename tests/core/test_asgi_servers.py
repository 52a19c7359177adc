"""What other ASGI servers do that ours does not, and the specification allows."""

import asyncio
from collections.abc import Awaitable, Callable, Generator
from typing import Any

import pytest

from mediastream.handler import MediaHandler
from tests.media_library.conftest import make_media

Message = dict[str, Any]


class ForeignFuture:
    """Granian's: asyncio takes it for one of its own by this attribute, but it lacks what `gather` looks at."""

    _asyncio_future_blocking = False

    def __init__(self, awaited: Awaitable[Message]) -> None:
        self._inner = asyncio.ensure_future(awaited)

    def __await__(self) -> Generator[Any, None, Message]:
        return self._inner.__await__()

    def __getattr__(self, name: str) -> Any:
        if name == "_cancel_message":
            raise AttributeError(name)
        return getattr(self._inner, name)


async def ask(path: str, receive: Callable[[], Awaitable[Message]], *headers: tuple[bytes, bytes]) -> list[Message]:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http", "http_version": "1.1", "method": "GET", "path": path, "raw_path": path.encode(),
        "root_path": "", "query_string": b"", "scheme": "http", "headers": [(b"host", b"localhost"), *headers],
    }  # fmt: skip
    await MediaHandler()(scope, receive, send)
    return sent


def a_client_that_stays() -> Callable[[], Awaitable[Message]]:
    asked = iter([{"type": "http.request", "body": b"", "more_body": False}])

    async def receive() -> Message:
        for message in asked:
            return message
        return await asyncio.Future()

    return receive


@pytest.mark.timeout(60)  # a task that waits for such a future cannot even be cancelled
async def test_a_receive_that_gives_a_future_of_its_own_kind() -> None:
    receive = a_client_that_stays()
    start, *_ = await ask("/healthz/live", lambda: ForeignFuture(receive()))
    assert start["status"] == 200


@pytest.mark.django_db(transaction=True)
async def test_a_304_promises_no_bytes() -> None:
    """uvicorn would wait for as many as Content-Length says, call it an error, and close the connection."""
    media = await asyncio.to_thread(make_media)
    start, *bodies = await ask(f"/media/{media.pk}/file", a_client_that_stays(), (b"if-none-match", b"*"))
    assert start["status"] == 304
    assert b"content-length" not in {name.lower() for name, _ in start["headers"]}
    assert [message.get("body", b"") for message in bodies] == [b""]

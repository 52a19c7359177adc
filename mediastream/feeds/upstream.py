"""Feeds elsewhere: a WebSocket, an event stream, or JSON that is asked for again and again.

What comes is believed to be JSON, or text where it is not; an upstream that sends too much, or falls silent, is
given up and tried again (running.py). A list is so many events.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from mediastream.feeds.events import MOST_BYTES, Event, EventInvalid
from mediastream.feeds.sources import Kind, Source
from mediastream.http import sse

if TYPE_CHECKING:
    import aiohttp  # takes a quarter of a second: commands do without, and who serves loads it at its start (asgi.py)

CONNECT = 10.0  # seconds
SILENCE = 60.0  # seconds without a byte, after which the connection is taken for dead
BEAT = 20.0  # seconds between a WebSocket's pings; aiohttp gives up half of that after one without an answer
MOST_AT_ONCE = 1000  # events of one message
LONGEST = 4 * MOST_BYTES  # bytes of one message

Publish = Callable[[Event], Awaitable[object]]


class SourceLost(Exception):
    """It gives nothing now; the text says why, for administrators."""


async def run(source: Source, publish: Publish, rate: float, key_field: str) -> None:
    """Publish what comes until it ends. Raises SourceLost. `rate`: how often a second polled JSON is asked for."""
    import aiohttp

    timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT, sock_read=SILENCE)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as session:
            if source.kind is Kind.SOCKET:
                await _socket(session, source.url, publish, key_field)
            elif source.kind is Kind.EVENTS:
                await _events(session, source.url, publish, key_field)
            else:
                await _polled(session, source.url, publish, 1 / rate, key_field)
    except (aiohttp.ClientError, OSError, TimeoutError) as fault:
        raise SourceLost(str(fault) or type(fault).__name__) from None
    except sse.TooLong as fault:
        raise SourceLost(str(fault)) from None


async def _socket(session: "aiohttp.ClientSession", url: str, publish: Publish, key_field: str) -> None:
    import aiohttp

    async with session.ws_connect(url, heartbeat=BEAT, max_msg_size=LONGEST) as connection:
        async for message in connection:
            if message.type is aiohttp.WSMsgType.TEXT:
                await _take(message.data, publish, key_field)
            elif message.type is aiohttp.WSMsgType.ERROR:
                raise SourceLost(f"{connection.exception()}")
        raise SourceLost(f"it closed the connection ({connection.close_code})")


async def _events(session: "aiohttp.ClientSession", url: str, publish: Publish, key_field: str) -> None:
    async with session.get(url, headers={"Accept": sse.CONTENT_TYPE}) as response:
        response.raise_for_status()
        if response.content_type != sse.CONTENT_TYPE:
            raise SourceLost(f"it answers with {response.content_type} in place of {sse.CONTENT_TYPE}")
        parser = sse.Parser()
        async for chunk in response.content.iter_any():
            for message in parser.feed(chunk):
                await _take(message.data, publish, key_field, message.event)
        raise SourceLost("it ended the stream")


async def _polled(session: "aiohttp.ClientSession", url: str, publish: Publish, every: float, key_field: str) -> None:
    """What says the same as the last time is no event."""
    last = b""
    loop = asyncio.get_running_loop()
    while True:
        began = loop.time()
        async with asyncio.timeout(SILENCE), session.get(url, headers={"Accept": "application/json"}) as response:
            response.raise_for_status()
            body = await response.content.read(LONGEST + 1)
            while not response.content.at_eof() and len(body) <= LONGEST:
                body += await response.content.read(LONGEST + 1 - len(body))
        if len(body) > LONGEST:
            raise SourceLost(f"it answers with over {LONGEST} bytes")
        if body != last:
            last = body
            await _take(body.decode("utf-8", "replace"), publish, key_field, strict=True)
        await asyncio.sleep(max(every - (loop.time() - began), 0))


async def _take(text: str, publish: Publish, key_field: str, name: str = "message", *, strict: bool = False) -> None:
    for event in events_of(text, key_field, name, strict=strict):
        await publish(event)


def events_of(text: str, key_field: str, name: str = "message", *, strict: bool = False) -> list[Event]:
    """The events of one message. `strict`: what is not JSON is a fault. Raises SourceLost."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        if strict:
            raise SourceLost("what it answers is not JSON") from None
        data = text
    items = data if isinstance(data, list) else [data]
    if len(items) > MOST_AT_ONCE:
        raise SourceLost(f"it sends over {MOST_AT_ONCE} events at once")
    try:
        return [Event(item, name, key_of(item, key_field)) for item in items]
    except EventInvalid as fault:
        raise SourceLost(fault.detail) from None


def key_of(data: Any, key_field: str) -> str:
    """What an event is about, by its data; "" if that does not say."""
    value = data.get(key_field) if key_field and isinstance(data, dict) else None
    if isinstance(value, bool) or not isinstance(value, str | int):
        return ""
    text = str(value)
    return text if len(text) <= 64 and text.isprintable() else ""

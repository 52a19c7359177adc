"""Cameras on HTTP that a test holds in its hand: they freeze, die and return when it says so."""

import asyncio
import io
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

from PIL import Image, ImageDraw

from tests.live.httpsource import Exchange, HttpSource

RATE = 10  # pictures a second
SIZE = (480, 270)


def numbered(count: int = 20) -> list[bytes]:
    """Pictures that differ at a glance."""
    made = []
    for number in range(count):
        picture = Image.new("RGB", SIZE, (20 + 10 * number % 200, 90, 200 - 9 * number % 150))
        ImageDraw.Draw(picture).rectangle((20 * number, 60, 20 * number + 60, 210), fill=(240, 240, 60))
        jpeg = io.BytesIO()
        picture.save(jpeg, "JPEG", quality=80)
        made.append(jpeg.getvalue())
    return made


class Flaky:
    """`frozen`: while set it sends no picture, but stays connected."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._jpegs = numbered()
        self.frozen = threading.Event()
        self._source = HttpSource(self._stream)
        self._run(self._source.start())
        self.port = self._source.port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/video"

    def die(self) -> None:
        """As a process does that is killed: its connections are reset, and its port refuses others."""
        self._run(self._source.stop())

    def come_back(self) -> None:
        self._source = HttpSource(self._stream)
        self._run(self._source.start(port=self.port))

    def close(self) -> None:
        self.die()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _stream(self, it: Exchange) -> None:
        await it.head("multipart/x-mixed-replace; boundary=x")
        number = 0
        while True:
            if not self.frozen.is_set():
                await it.part(self._jpegs[number % len(self._jpegs)])
                number += 1
            await asyncio.sleep(1 / RATE)

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)


@contextmanager
def flaky() -> Iterator[Flaky]:
    source = Flaky()
    try:
        yield source
    finally:
        source.close()

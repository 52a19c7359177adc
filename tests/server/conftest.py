import asyncio
import functools
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop

from mediastream import watch
from mediastream.handler import MediaHandler
from tests.handling import real_handler
from tests.server import surface
from tests.server.serving import Application, Serving


@pytest.fixture(params=["asyncio", "uvloop"])
def serve(request: pytest.FixtureRequest) -> Iterator[Callable[..., Serving]]:
    """Starts an application behind our Connection, on both event loops. Whatever the test does, nothing may go wrong
    that nobody catches."""
    started: list[Serving] = []

    def start(application: Application, **config: Any) -> Serving:
        loop = uvloop.new_event_loop() if request.param == "uvloop" else asyncio.new_event_loop()
        started.append(Serving(loop, application, **config))
        return started[-1]

    yield start
    for serving in started:
        serving.close()
        assert serving.loop_faults == []


@pytest.fixture
def handler(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[MediaHandler]:
    """The real handler over the views of surface.py."""
    monkeypatch.setattr(surface, "state", surface.State())
    settings.ROOT_URLCONF = "tests.server.surface"
    with real_handler() as handler:
        yield handler


@pytest.fixture
def served(serve: Callable[..., Serving], handler: MediaHandler, tmp_path: Path) -> Iterator[Callable[..., Serving]]:
    """Starts the real handler behind our Connection, /file being some bytes that `content` returns."""
    started: list[Serving] = []
    surface.state.path = tmp_path / "stored"
    surface.state.path.write_bytes(content())

    def start(**config: Any) -> Serving:
        started.append(serve(handler, **config))
        return started[-1]

    yield start
    for serving in started:
        serving.run(watch.end())


@functools.cache
def content() -> bytes:
    return random.Random(11).randbytes(3_000_000)

"""HLS in the process of the tests, anew for each."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import LazySettings

from mediastream import homeloop
from tests.media_library.conftest import child_pids
from transcode import fallback, hls, registry


@pytest.fixture
def fresh_hls(tmp_path: Path, settings: LazySettings) -> Iterator[None]:
    """An empty cache and no session before, no FFmpeg after."""
    settings.TRANSCODE_CACHE = tmp_path / "cache"
    forget()
    before = child_pids()
    yield
    homeloop.call(hls.close_all(), 20)
    assert registry.running() == 0
    assert child_pids() <= before
    forget()


def forget() -> None:
    hls.store.cache_clear()
    hls.sessions.cache_clear()
    hls._sources.clear()
    hls._works.clear()
    fallback.forget()

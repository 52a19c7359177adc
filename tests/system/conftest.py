import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.browser import chromium
from tests.media import Clips
from tests.system.harness import Server
from tests.system.visiting import Shell

WAIT = 20_000  # milliseconds
# A job worker is several processes, and takes a second of a core to start, sixty times over. The shared server has one,
# and those of test_jobs.py.
os.environ["MEDIASTREAM_JOBS"] = "0"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What drives real servers, sockets and browsers shares its machine with who knows whom: a test of it that fails
    is asked once more. The summary lists it as rerun, and whoever reads that looks for the reason."""
    for item in items:
        if item.get_closest_marker("system") is not None:
            item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture
def page(browser: Browser, server: Server) -> Iterator[Page]:
    context = browser.new_context(base_url=server.url(""), viewport={"width": 1280, "height": 800})
    opened = context.new_page()
    opened.set_default_timeout(WAIT)
    yield opened
    context.close()


@pytest.fixture(scope="session")
def seeded(run_folder: Path) -> Path:
    """A data folder after its first run, to copy: making the demo takes longer than the tests."""
    with (run_folder / "seeding").open("w") as seeding:
        fcntl.flock(seeding, fcntl.LOCK_EX)
        folder = run_folder / "seeded"
        if not folder.exists():
            server = Server.start(run_folder / "seedling")
            server.stop()
            server.data_dir.rename(folder)
    return folder


@pytest.fixture(scope="session")
def server(seeded: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests that leave it as they found it."""
    folder = shutil.copytree(seeded, tmp_path_factory.mktemp("shared") / "data")
    started = Server.start(folder, MEDIASTREAM_TRANSCODES="4", MEDIASTREAM_JOBS="2")
    yield started
    started.stop()


@pytest.fixture(autouse=True)
def connections_closed(request: pytest.FixtureRequest) -> Iterator[None]:
    """What a test has left open on the shared server, should it fail, is not the next one's trouble, nor its own when
    it is asked once more."""
    server = request.getfixturevalue("server") if "server" in request.fixturenames else None
    yield
    if server is not None:
        server.close_opened()


@pytest.fixture
def own_server(seeded: Path, tmp_path: Path) -> Iterator[Server]:
    """A server that the test may kill."""
    started = Server.start(shutil.copytree(seeded, tmp_path / "own"))
    yield started
    started.close_opened()
    if started.process.poll() is None:
        started.stop()


@pytest.fixture(scope="session")
def long_clip(server: Server, clips: Clips) -> dict[str, str]:
    """Ten minutes of H.264: a transcode of it does not end by itself within a test."""
    return server.add_media(clips["long.mp4"])


@pytest.fixture(scope="module")
def shell(server: Server) -> Iterator[Shell]:
    made = Shell(server.data_dir)
    yield made
    made.close()

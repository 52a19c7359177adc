import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from mediastream import drain, rows, watch
from tests import topics
from tests.media import BUNDLED, Clips


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files that take minutes first: else one of them may come last, and leave one of the two processes idle."""
    items.sort(key=lambda item: "system" not in item.path.parts)


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """One for all processes of this run, for what takes long to make and nobody changes."""
    own = tmp_path_factory.getbasetemp()
    return own if worker_id == "master" else own.parent


@pytest.fixture(scope="session")
def clips(run_folder: Path) -> Clips:
    (run_folder / "clips").mkdir(exist_ok=True)
    return Clips(run_folder / "clips")


@pytest.fixture(params=["system", "bundled"])
def ffmpeg_executable(request: pytest.FixtureRequest) -> str:
    """Both FFmpegs that must do: Debian's 5.1, and the one inside imageio-ffmpeg."""
    if request.param == "bundled":
        return BUNDLED
    found = shutil.which("ffmpeg")
    if found is None:
        pytest.skip("no system FFmpeg")
    return found


@pytest.fixture(autouse=True)
def open_latch() -> Iterator[None]:
    yield
    drain.reset()


@pytest.fixture(autouse=True)
def rows_forgotten() -> Iterator[None]:
    """A test's database is rolled back or emptied after it, without a notice."""
    yield
    rows.forget_all()


@pytest.fixture(autouse=True)
def no_watch(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would ask the database from a thread of its own, where a test's open transaction shows nothing."""
    if "watched" not in request.fixturenames:
        monkeypatch.setattr(watch, "begin", lambda: None)
        monkeypatch.setattr(watch, "begin_at_home", lambda: None)


@pytest.fixture
def closed_after() -> Iterator[None]:
    """For tests in which a view has begun to serve topics."""
    yield
    topics.close_topics()


@pytest.fixture
def watched() -> None:
    """For tests in which the watch may run."""

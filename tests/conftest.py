import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from django.conf import settings
from django.db.backends.base.base import BaseDatabaseWrapper

from mediastream import drain, rows, watch
from tests import topics
from tests.media import BUNDLED, Clips


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files that take minutes first: else one of them may come last, and leave the other processes idle."""
    items.sort(key=lambda item: "system" not in item.path.parts)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Of what failed and was asked once more the log would tell no more than the name."""
    for report in terminalreporter.stats.get("rerun", []):
        terminalreporter.write_sep("_", f"before its rerun: {report.nodeid}")
        terminalreporter.write_line(report.longreprtext)


@pytest.fixture(scope="session")
def django_db_modify_db_settings(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> None:
    """In a file, as the server has it: one in memory does not wait for another thread's writing, but fails."""
    settings.DATABASES["default"]["TEST"]["NAME"] = str(tmp_path_factory.getbasetemp() / f"{worker_id}.sqlite3")


@pytest.fixture(scope="session", autouse=True)
def transactions_of_tests_stay_open() -> Iterator[None]:
    """Django's handlers close what is within a transaction when a request begins; its test client alone does not.

    To look at a connection is to ask the database, which a test may not be allowed whose thread has an older one open.
    """
    close = BaseDatabaseWrapper.close_if_unusable_or_obsolete

    def close_unless_in_one(connection: BaseDatabaseWrapper) -> None:
        if not connection.in_atomic_block:
            with suppress(RuntimeError):  # pytest-django's
                close(connection)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BaseDatabaseWrapper, "close_if_unusable_or_obsolete", close_unless_in_one)
        yield


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

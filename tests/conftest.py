import shutil
from collections.abc import Iterator

import pytest

from mediastream import drain
from tests.media import BUNDLED, Clips


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Clips:
    return Clips(tmp_path_factory.mktemp("clips"))


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

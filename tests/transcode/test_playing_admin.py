"""The item's page in the admin says how a browser gets it."""

import pytest

from tests.media import Clips
from tests.media_library.conftest import client_of, collect_static, make_clip, make_visitor

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def static_files() -> None:
    collect_static()


@pytest.mark.parametrize(
    ("clip", "said"),
    [
        ("yuv444.mp4", "video: encode, H.264 High 4:4:4 Predictive, this browser plays 4:2:0 only"),
        ("h264.mp4", "The file is played as it is."),
    ],
)
def test_how_an_item_is_played(clips: Clips, clip: str, said: str) -> None:
    client = client_of(make_visitor("superuser"))
    media = make_clip(clips, clip)
    assert said in client.get(f"/admin/media_library/media/{media.pk}/change/").content.decode()


def test_before_the_upload_nothing_is_said() -> None:
    page = client_of(make_visitor("superuser")).get("/admin/media_library/media/add/").content.decode()
    assert "In a browser" not in page

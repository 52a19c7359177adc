import pytest
from django.contrib.staticfiles.storage import staticfiles_storage
from django.test import Client

from tests.media_library.conftest import collect_static

pytestmark = pytest.mark.django_db
PLAYER = "mediastream/player.js"


@pytest.fixture(autouse=True)
def static_files() -> None:
    collect_static()


@pytest.mark.parametrize(
    ("name", "content_type"),
    [
        (PLAYER, "text/javascript; charset=utf-8"),
        ("mediastream/style.css", "text/css; charset=utf-8"),
        ("mediastream/icon.svg", "image/svg+xml"),
        ("admin/css/base.css", "text/css; charset=utf-8"),
    ],
)
def test_a_hashed_name_may_be_kept_for_ever(client: Client, name: str, content_type: str) -> None:
    url = staticfiles_storage.url(name)
    assert url != f"/static/{name}"
    response = client.get(url)
    assert response.status_code == 200
    assert response["Content-Type"] == content_type
    assert response["Cache-Control"] == "public, max-age=31536000, immutable"
    content = b"".join(response)
    response.close()
    assert len(content) == int(response["Content-Length"]) > 0
    head = client.head(url)
    assert (head.status_code, head["Content-Length"]) == (200, response["Content-Length"])
    assert client.get(url, headers={"If-None-Match": response["ETag"]}).status_code == 304


def test_a_plain_name_is_asked_for_again_and_changes_its_tag_with_its_content(client: Client) -> None:
    """Its content changes under it, perhaps without a change of size: the tag must be that of the hashed name."""
    plain, hashed = client.head(f"/static/{PLAYER}"), client.head(staticfiles_storage.url(PLAYER))
    assert plain.status_code == 200
    assert plain["Cache-Control"] == "public, max-age=0, must-revalidate"
    assert plain["ETag"] == hashed["ETag"]


def test_browsers_find_an_icon_where_no_page_names_one(client: Client) -> None:
    response = client.get("/favicon.ico", follow=True)
    assert response.status_code == 200
    assert response["Content-Type"] == "image/svg+xml"
    response.close()


@pytest.mark.parametrize(
    "name",
    [
        "staticfiles.json",
        "",
        "mediastream/",
        "nothing.css",
        "../secret_key",
        "mediastream/../../secret_key",
        "..%2fsecret_key",
        "%2e%2e/secret_key",
        "/etc/passwd",
        "mediastream/player.js%00",
    ],
)
def test_no_other_name_is_served(client: Client, name: str) -> None:
    """Names are looked up in the manifest, never joined to a folder."""
    assert client.get(f"/static/{name}").status_code == 404

import re
import uuid

import pytest
from django.core.files.base import ContentFile
from django.test import AsyncClient, Client

from media_library import views
from media_library.models import State
from mediastream.access import Visibility
from tests.media import Clips
from tests.media_library.conftest import VISITORS, client_of, make_clip, make_media, make_visitor

pytestmark = pytest.mark.django_db
HTML = {"accept": "text/html"}


def titles(content: bytes) -> list[str]:
    return re.findall(r'<span class="title">(.*?)</span>', content.decode())


@pytest.mark.parametrize(
    ("visitor", "expected"),
    [
        ("anonymous", {"public"}),
        ("inactive", {"public"}),
        ("member", {"public", "members"}),
        ("owner", {"public", "members", "private"}),
        ("staff", {"public", "members"}),
        ("superuser", {"public", "members", "private"}),
    ],
)
def test_the_library_lists_what_the_visitor_may_see(visitor: str, expected: set[str]) -> None:
    people = {kind: make_visitor(kind) for kind in VISITORS}
    for visibility in Visibility.values:
        make_media(title=visibility, visibility=visibility, owner=people["owner"])
    response = client_of(people[visitor]).get("/")
    assert set(titles(response.content)) == expected


def test_only_what_can_be_played_is_listed(client: Client) -> None:
    for state in State.values:
        make_media(title=state, state=state)
    assert titles(client.get("/").content) == ["ready"]


@pytest.mark.parametrize(
    ("query", "expected"), [("film", ["A Film"]), (" FILM ", ["A Film"]), ("%", []), ("", ["Other", "A Film"])]
)
def test_search_looks_into_titles(client: Client, query: str, expected: list[str]) -> None:
    make_media(title="A Film")
    make_media(title="Other")
    assert titles(client.get("/", {"q": query}).content) == expected


def test_a_query_comes_back_as_text(client: Client) -> None:
    response = client.get("/", {"q": "<script>alert(1)</script>"})
    assert b"<script>alert" not in response.content
    assert b"No title has that in it" in response.content


def test_a_title_is_text(client: Client) -> None:
    media = make_media(title="<b>&\"'")
    for path in ("/", f"/watch/{media.pk}/"):
        assert b"&lt;b&gt;&amp;&quot;&#x27;" in client.get(path).content


def test_pages_of_the_library(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "PAGE", 2)
    for number in range(5):
        make_media(title=f"Film {number}")
    shown, start = [], ""
    while start is not None:
        content = client.get("/", {"q": "Film", "from": start}).content
        shown += titles(content)
        more = re.search(r'href="\?q=Film&amp;from=(\d+)"', content.decode())
        start = more[1] if more else None
    assert shown == [f"Film {number}" for number in (4, 3, 2, 1, 0)]


@pytest.mark.parametrize("start", ["-1", "x", "1e3", "²", "9" * 20])
def test_a_page_that_has_no_meaning(client: Client, start: str) -> None:
    response = client.get("/", {"from": start})
    assert response.status_code == 400
    assert response.json()["error"] == "bad_input"


def test_a_page_past_the_end_is_empty(client: Client) -> None:
    make_media()
    assert titles(client.get("/", {"from": "99999999"}).content) == []


@pytest.mark.parametrize(("name", "direct"), [("h264.mp4", True), ("mpeg4.avi", False), ("sound.mp3", True)])
def test_the_player_is_told_what_it_needs(client: Client, clips: Clips, name: str, direct: bool) -> None:
    media = make_clip(clips, name)
    page = client.get(f"/watch/{media.pk}/").content.decode()
    told = dict(re.findall(r'data-([a-z]+)="(.*?)"', page))
    assert told["file"] == f"/media/{media.pk}/file"
    assert bool(told["type"]) is direct
    assert told["stream"] == f"/media/{media.pk}/stream.mp4"
    assert told["playback"] == f"/media/{media.pk}/playback.json"
    assert told["hls"] == f"/media/{media.pk}/hls/master.m3u8"
    assert told["leaving"] == f"/media/{media.pk}/hls/leave"
    assert float(told["duration"]) == pytest.approx(media.duration)
    assert "poster=" not in page


def test_the_poster_is_shown_where_there_is_one(client: Client) -> None:
    media = make_media(duration=61)
    media.poster.save("poster.jpg", ContentFile(b"\xff\xd8"))
    for path in ("/", f"/watch/{media.pk}/"):
        page = client.get(path).content.decode()
        assert f"/media/{media.pk}/poster.jpg" in page
        assert "1:01" in page


@pytest.mark.parametrize("state", [State.PENDING, State.FAILED])
def test_an_item_that_cannot_be_played_says_why(client: Client, state: str) -> None:
    media = make_media(state=state, reason="The probe is out of order." if state == State.FAILED else "")
    response = client.get(f"/watch/{media.pk}/", headers=HTML)
    assert response.status_code == 409
    expected = "The probe is out of order." if state == State.FAILED else "it has not been probed"
    assert expected in response.content.decode()


def test_an_unknown_item(client: Client) -> None:
    for path in (f"/watch/{uuid.uuid4()}/", f"/media/{uuid.uuid4()}/file", f"/media/{uuid.uuid4()}/poster.jpg"):
        response = client.get(path)
        assert response.status_code == 404
        assert response.json()["error"] == "unknown"


@pytest.mark.parametrize(("visitor", "edits"), [("anonymous", False), ("member", False), ("superuser", True)])
def test_who_edits_is_offered_to(visitor: str, edits: bool) -> None:
    media = make_media()
    page = client_of(make_visitor(visitor)).get(f"/watch/{media.pk}/").content.decode()
    assert (f"/admin/media_library/media/{media.pk}/change/" in page) is edits


def test_signing_in_leads_back(client: Client) -> None:
    media = make_media(visibility="members")
    visitor = make_visitor("member")
    visitor.set_password("a long password")
    visitor.save()
    asked = client.get(f"/watch/{media.pk}/")
    assert asked.status_code == 302
    assert asked["Location"] == f"/accounts/login/?next=/watch/{media.pk}/"
    signed = client.post(asked["Location"], {"username": "member", "password": "a long password"})
    assert (signed.status_code, signed["Location"]) == (302, f"/watch/{media.pk}/")
    assert client.get(signed["Location"]).status_code == 200
    assert client.post("/accounts/logout/").status_code == 302
    assert client.get(signed["Location"]).status_code == 302


def test_a_wrong_password_says_so(client: Client) -> None:
    response = client.post("/accounts/login/", {"username": "nobody", "password": "x"})
    assert response.status_code == 200
    assert b"do not belong together" in response.content


@pytest.mark.django_db(transaction=True)
async def test_pages_on_a_native_loop() -> None:
    response = await AsyncClient().get("/")
    assert response.status_code == 200
    assert b"Nothing here yet" in response.content

"""The test of a source: in the admin and by a command. Real sources, on real sockets."""

import asyncio
import html
import io
import json
import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from django.contrib.auth.models import Permission
from django.core.management import CommandError, call_command
from django.http import HttpResponse
from django.test import Client

from mediastream import drain, homeloop
from mediastream.live import registry, trial
from mediastream.live.models import Camera
from mediastream.live.terms import Terms
from tests.live.httpsource import Exchange, HttpSource
from tests.live.rtsp import RtspServer
from tests.live.test_frames import make_jpegs
from tests.media import Clips
from tests.media_library.conftest import child_pids, client_of, collect_static, make_visitor

pytestmark = pytest.mark.django_db
PASSWORD = "hunter2"
DEADLINE = 30.0
TEST = "/admin/live/camera/test/"
FIELDS = {"source": "test-pattern", "visibility": "members", "fps": "25", "quality": "5"}


@pytest.fixture(autouse=True)
def static_files() -> None:
    collect_static()


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    before = child_pids()
    yield
    homeloop.call(registry.close_all(), 10)
    assert child_pids() <= before
    assert trial._under_way == 0


@pytest.fixture
def admin() -> Client:
    return client_of(make_visitor("superuser"))


@contextmanager
def serving(script: Callable[[Exchange], Awaitable[None]]) -> Iterator[HttpSource]:
    served = HttpSource(script)
    homeloop.call(served.start(), DEADLINE)
    try:
        yield served
    finally:
        homeloop.call(served.stop(), DEADLINE)


def mjpeg(it: Exchange) -> Awaitable[None]:
    return it.stream(make_jpegs())


def said(answer: HttpResponse) -> dict[str, str]:
    """The parts of the page that have a name, as text."""
    found = re.findall(r'<(?:p|pre) id="(\w+)">(.*?)</', answer.content.decode(), re.DOTALL)
    return {name: html.unescape(text) for name, text in found}


def post(client: Client, path: str = TEST, **fields: str) -> HttpResponse:
    return client.post(path, FIELDS | fields)


def test_what_comes_is_shown_with_a_picture_and_nothing_is_stored(admin: Client) -> None:
    with serving(mjpeg) as served:
        answer = post(admin, source=served.url)
    assert answer.status_code == 200
    assert said(answer)["tried"].startswith("It gives pictures; the first came after ")
    assert re.fullmatch(r"Mjpeg, 96x64, [\d.]+ pictures a second came, copied as it is\.", said(answer)["came"])
    assert b'src="data:image/jpeg;base64,/9j/' in answer.content
    assert "no-store" in answer["Cache-Control"]
    assert not Camera.objects.exists()


def test_what_is_encoded_says_so_and_how_large_it_is_shown(admin: Client, clips: Clips) -> None:
    answer = post(admin, source=str(clips["silent.mp4"]), size="160x90")
    assert re.search(r"H264, 320x180, 25 fps, .*encoded as JPEG, shown as 160x90\.", said(answer)["came"])


@pytest.mark.parametrize("given", ["", "other"])
def test_an_empty_password_in_the_form_is_the_stored_one(admin: Client, given: str) -> None:
    async def asking(it: Exchange) -> None:
        if not await it.asks_password("Basic", "viewer", PASSWORD):
            await mjpeg(it)

    with serving(asking) as served:
        common = {"source": served.url, "username": "viewer"}
        camera = Camera.objects.create(slug="yard", name="Yard", password=PASSWORD, **common)
        answer = post(admin, f"/admin/live/camera/{camera.pk}/test/", password=given, **common)
    told = "It gives pictures" if not given else "No picture: it wants another name or password (it answers 401"
    assert said(answer)["tried"].startswith(told)
    camera.refresh_from_db()
    assert camera.password == PASSWORD


def test_a_failure_is_typed_with_ffmpegs_last_words_and_no_secret(admin: Client, tmp_path: Path) -> None:
    server = RtspServer("Basic", password="right")
    homeloop.call(server.start(tmp_path), DEADLINE)
    try:
        answer = post(admin, source=server.url(), username="u", password=PASSWORD)
    finally:
        homeloop.call(server.stop(), DEADLINE)
    assert said(answer)["tried"].startswith("No picture: it wants another name or password (")
    assert "401" in said(answer)["said"]
    assert PASSWORD not in answer.content.decode()
    assert "<img" not in answer.content.decode()


def test_nobody_there(admin: Client) -> None:
    told = said(post(admin, source="http://127.0.0.1:1/"))
    assert told == {"tried": "No picture: it cannot be reached (Connection refused)."}


def test_a_source_that_ends_after_some_pictures_says_both(admin: Client) -> None:
    async def ends(it: Exchange) -> None:
        await it.head("multipart/x-mixed-replace; boundary=x", "Connection: close")
        await it.part(make_jpegs()[0])
        it.writer.close()

    with serving(ends) as served:
        assert "Then it has ended (it ended the stream)." in said(post(admin, source=served.url))["tried"]


@pytest.mark.parametrize("hangs", ["before", "in a picture"])
def test_a_source_that_hangs_is_let_go(admin: Client, monkeypatch: pytest.MonkeyPatch, hangs: str) -> None:
    async def answer(it: Exchange) -> None:
        if hangs != "before":
            await it.head("multipart/x-mixed-replace; boundary=x")
            await it.send(make_jpegs()[0][:100])
        await asyncio.sleep(60)

    monkeypatch.setattr(trial, "DEADLINE", 0.5)
    with serving(answer) as served:
        told = said(post(admin, source=served.url))["tried"]
    assert told == "No picture: it does not answer in time (no picture within 0.5 seconds)."


def test_a_picture_of_200_megabytes_is_not_shown(admin: Client) -> None:
    async def answer(it: Exchange) -> None:
        await it.head("multipart/x-mixed-replace; boundary=x")
        await it.send(b"\xff\xd8\xff\xda\0\2")
        while True:
            await it.send(b"x" * 1024 * 1024)

    with serving(answer) as served:
        assert "gives no video (it sends a picture of over" in said(post(admin, source=served.url))["tried"]


def test_a_camera_without_a_name_can_be_tested_but_not_what_is_no_source(admin: Client) -> None:
    answer = post(admin, source="concat:/etc/passwd")
    assert answer.status_code == 400
    assert "Not a source" in answer.content.decode()
    assert post(admin, fps="0").status_code == 400
    assert post(admin, source="").status_code == 400


def test_one_that_was_deleted(admin: Client) -> None:
    assert post(admin, "/admin/live/camera/77/test/").status_code == 404


@pytest.fixture
def unopened(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("it was opened")

    monkeypatch.setattr(trial, "attempt", never)


@pytest.mark.usefixtures("unopened")
@pytest.mark.parametrize(("visitor", "status"), [("anonymous", 302), ("member", 302), ("staff", 403)])
@pytest.mark.parametrize("source", ["http://127.0.0.1:1/", "http://169.254.169.254/latest/", "/etc/passwd"])
def test_administrators_alone_may_have_an_address_opened(visitor: str, status: int, source: str) -> None:
    someone = make_visitor(visitor)
    if visitor == "staff":
        someone.user_permissions.set(Permission.objects.filter(codename__endswith="_camera"))
    assert post(client_of(someone), source=source).status_code == status


@pytest.mark.usefixtures("unopened")
def test_another_site_cannot_have_it_opened() -> None:
    client = client_of(make_visitor("superuser"), enforce_csrf_checks=True)
    assert post(client).status_code == 403
    assert client.get(TEST).status_code == 405


def test_there_are_few_at_a_time(admin: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "MOST", 1)

    async def two() -> list[object]:
        attempts = (trial.attempt("ffmpeg", Terms(served.url, 25, "public")) for _ in range(2))
        return await asyncio.gather(*attempts, return_exceptions=True)

    with serving(mjpeg) as served:
        first, second = homeloop.call(two(), DEADLINE)
        assert isinstance(first, trial.Trial)
        assert "1 sources are being tested" in str(second)
        monkeypatch.setattr(trial, "MOST", 0)
        answer = post(admin, source=served.url)
        assert (answer.status_code, answer["Retry-After"]) == (503, "5")


def test_a_server_that_stops_ends_a_test() -> None:
    async def stopped() -> trial.Trial:
        under_way = asyncio.ensure_future(trial.attempt("ffmpeg", Terms(served.url, 25, "public")))
        while not served.asked:
            await asyncio.sleep(0.01)
        drain.begin()
        return await under_way

    with serving(lambda it: asyncio.sleep(60)) as served:
        given = homeloop.call(stopped(), 5)
    assert given.failure is not None
    assert given.failure.words == "this server is stopping"


def test_the_page_of_a_camera_tells_how_it_is_and_has_the_button(admin: Client) -> None:
    camera = Camera.objects.create(slug="yard", name="Yard", source="rtsp://u@127.0.0.1:1/x", visibility="public")
    address = f"/admin/live/camera/{camera.pk}/change/"
    page = admin.get(address).content.decode()
    assert "resting: nobody watches" in page
    assert f'formaction="/admin/live/camera/{camera.pk}/test/"' in page
    assert admin.get("/live/yard/snapshot.jpg").status_code == 503
    page = admin.get(address).content.decode()
    assert "reconnecting: it failed, and is tried again" in page
    assert re.search(r"it cannot be reached \(.*Connection refused.*<pre>.*Connection refused", page, re.DOTALL)
    assert "reconnecting" in admin.get("/admin/live/camera/").content.decode()
    assert f'formaction="{TEST}"' in admin.get("/admin/live/camera/add/").content.decode()


def test_who_is_too_slow_is_counted_for_each(admin: Client) -> None:
    camera = Camera.objects.create(slug="yard", name="Yard", source="test-pattern", visibility="public")

    async def two_viewers() -> None:
        opened = registry.camera("yard", camera.terms, "ffmpeg")
        slow, quick = opened.join(), opened.join()
        async with asyncio.timeout(DEADLINE):
            while slow.skipped < 3:
                await quick.take()

    homeloop.call(two_viewers(), DEADLINE)
    page = admin.get(f"/admin/live/camera/{camera.pk}/change/").content.decode()
    assert re.search(r"2 viewers; pictures skipped by each that was too slow: ([3-9]|\d\d)", page)
    assert "960x540" in page


def command(*arguments: str) -> dict[str, object]:
    out = io.StringIO()
    call_command("test_camera", *arguments, stdout=out, stderr=io.StringIO())
    printed: dict[str, object] = json.loads(out.getvalue())
    return printed


def test_by_command(tmp_path: Path) -> None:
    Camera.objects.create(slug="yard", name="Yard", source="test-pattern", fps=10, size="320x180")
    picture = tmp_path / "now.jpg"
    told = command("yard", "--save", str(picture))
    assert (told["width"], told["height"], told["copied"]) == (320, 180, False)
    assert picture.read_bytes().startswith(b"\xff\xd8")
    with serving(mjpeg) as served:
        told = command(served.url)
    assert (told["codec"], told["width"], told["copied"]) == ("mjpeg", 96, True)


def refused(*arguments: str) -> AbstractContextManager[object]:
    return pytest.raises(CommandError, match="|".join(arguments))


def test_by_command_what_fails() -> None:
    with refused("no picture: it cannot be reached .Connection refused"):
        command("http://127.0.0.1:1/")
    with refused("no such camera, and it is not a source"):
        command("nothing")

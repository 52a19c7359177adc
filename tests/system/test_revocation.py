"""A right that is taken away ends what is open by it within a second, wherever the change was made."""

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from tests.system.harness import Server, wait_until
from tests.system.servers import KINDS, Running
from tests.system.visiting import Asking, SecondAnswer, Shell, Viewer, post

pytestmark = pytest.mark.system
SOON = 4.0  # seconds; it takes less than one, but the tests' machine may have other things to do


@pytest.fixture
def admin(shell: Shell) -> str:
    """The key of a session, which the admin's password form replaces by another."""
    return shell.user(is_staff=True, is_superuser=True)[1]


@pytest.fixture(scope="module")
def cameras(shell: Shell) -> Iterator[dict[str, str]]:
    slugs = {visibility: f"guarded-{visibility}" for visibility in ("members", "private")}
    for visibility, slug in slugs.items():
        shell.run(f"Camera.objects.create(slug={slug!r}, name='x', source='test-pattern', visibility={visibility!r})")
    yield slugs
    for slug in slugs.values():
        shell.run(f"Camera.objects.get(slug={slug!r}).delete()")


LENDS_SOCKET = ("gunicorn gthread", "uWSGI", "manage.py runserver")


@dataclass
class Scene:
    """Somebody with a right to an item and to a camera."""

    server: Server
    shell: Shell
    admin: str
    user: int
    session: str
    item: str
    camera: str

    @property
    def cookie(self) -> str:
        return f"Cookie: sessionid={self.session}"

    def path(self, name: str) -> str:
        return f"/media/{self.item}/{name}"

    def change(self, model: str, key: object, **values: object) -> None:
        """With signals, in another process."""
        setting = "".join(f"row.{name} = {value!r}\n" for name, value in values.items())
        self.shell.run(f"row = {model}.objects.get(pk={key!r})\n{setting}row.save()")

    def update(self, model: str, key: object, **values: object) -> None:
        """Without."""
        self.shell.run(f"{model}.objects.filter(pk={key!r}).update(**{values!r})")

    def delete(self, model: str, key: object) -> None:
        self.shell.run(f"{model}.objects.get(pk={key!r}).delete()")

    def delete_rows(self, model: str, key: object) -> None:
        """Without signals."""
        self.shell.run(f"rows = {model}.objects.filter(pk={key!r})\nrows._raw_delete(rows.db)")

    def form(self, path: str, **fields: object) -> None:
        post(self.server, self.admin, f"/admin/{path}/", **fields)

    def user_form(self, **fields: object) -> None:
        name = self.shell.run(f"result = User.objects.get(pk={self.user}).username")
        values = {"username": name, "date_joined_0": "2026-01-01", "date_joined_1": "00:00:00", **fields}
        self.form(f"auth/user/{self.user}/change", **values)

    def item_form(self, **fields: object) -> None:
        values = {"title": "Item", "visibility": "private", "owner": self.user, **fields}
        self.form(f"media_library/media/{self.item}/change", **values)


Act = Callable[[Scene], object]
PASSWORD_FORM = {"password1": "correct horse", "password2": "correct horse", "usable_password": "true"}
HASH = "pbkdf2_sha256$1$x$y"

# What is taken away, in which way; whether the camera is taken away with it; and what the next request is told.
CAUSES: dict[str, tuple[Act, bool, int]] = {
    "deactivated-shell": (lambda s: s.change("User", s.user, is_active=False), True, 401),
    "deactivated-update": (lambda s: s.update("User", s.user, is_active=False), True, 401),
    "deactivated-admin": (lambda s: s.user_form(), True, 401),
    "user-deleted-shell": (lambda s: s.delete("User", s.user), True, 401),
    "user-deleted-admin": (lambda s: s.form(f"auth/user/{s.user}/delete", post="yes"), True, 401),
    "password-shell": (lambda s: s.change("User", s.user, password=HASH), True, 401),
    "password-update": (lambda s: s.update("User", s.user, password=HASH), True, 401),
    "password-admin": (lambda s: s.form(f"auth/user/{s.user}/password", **PASSWORD_FORM), True, 401),
    "signed-out": (lambda s: post(s.server, s.session, "/accounts/logout/"), True, 401),
    "owner-shell": (lambda s: s.change("Media", s.item, owner_id=None), False, 403),
    "owner-update": (lambda s: s.update("Media", s.item, owner=None), False, 403),
    "owner-admin": (lambda s: s.item_form(owner=""), False, 403),
    "item-deleted-shell": (lambda s: s.delete("Media", s.item), False, 404),
    "item-deleted-update": (lambda s: s.delete_rows("Media", s.item), False, 404),
    "item-deleted-admin": (lambda s: s.form(f"media_library/media/{s.item}/delete", post="yes"), False, 404),
}


@pytest.fixture
def scene(server: Server, shell: Shell, admin: str, cameras: dict[str, str], long_clip: dict[str, str]) -> Scene:
    user, session = shell.user()
    item = shell.item(long_clip["id"], user, "private")
    return Scene(server, shell, admin, user, session, item, cameras["members"])


@pytest.fixture
def watching() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def ticket(scene: Scene) -> str:
    with Viewer(scene.server.port, scene.path("file"), scene.cookie, "Range: bytes=0-0") as viewer:
        assert viewer.status == 206
        return viewer.headers["set-cookie"].partition(";")[0]


def ends_all(viewers: dict[str, Viewer], act: Callable[[], object]) -> None:
    time.sleep(0.3)
    assert not [name for name, viewer in viewers.items() if viewer.ended]
    act()
    for name, viewer in viewers.items():
        wait_until(lambda viewer=viewer: viewer.ended, SOON, f"the end of {name}")  # type: ignore[misc]
        assert not viewer.whole


@pytest.mark.parametrize("cause", CAUSES)
def test_what_is_open_ends(scene: Scene, watching: ExitStack, cause: str) -> None:
    act, ends_camera, refusal = CAUSES[cause]
    port, file, bearing = scene.server.port, scene.path("file"), f"Cookie: {ticket(scene)}"
    asking = Asking(port, file, bearing)
    watching.callback(asking.close)
    assert asking.status() == 206
    viewers = {
        "paused": Viewer(port, file, bearing, paused=True),
        "running": Viewer(port, file, bearing),
        "a later range": SecondAnswer(port, file, bearing, paused=True),
        "by session": Viewer(port, file, scene.cookie, "Range: bytes=5-", paused=True),
    }
    if not cause.endswith("update"):
        viewers["transcode"] = Viewer(port, scene.path("stream.mp4?profile=360p"), bearing)
        viewers["paused transcode"] = Viewer(port, scene.path("stream.mp4?profile=1080p"), bearing, paused=True)
    camera = Viewer(port, f"/live/{scene.camera}/mjpeg", scene.cookie)
    for viewer in [*viewers.values(), camera]:
        watching.enter_context(viewer)
        assert viewer.status in (200, 206)
    ends_all(viewers | ({"camera": camera} if ends_camera else {}), lambda: act(scene))
    assert ends_camera or not camera.ended
    assert asking.status() == refusal


@pytest.mark.parametrize("way", ["shell", "update", "admin"])
def test_an_administrator_who_is_none_any_more(
    server: Server,
    shell: Shell,
    admin: str,
    cameras: dict[str, str],
    long_clip: dict[str, str],
    watching: ExitStack,
    way: str,
) -> None:
    user, session = shell.user(is_staff=True, is_superuser=True)
    item = shell.item(long_clip["id"], None, "private")
    scene = Scene(server, shell, admin, user, session, item, cameras["private"])
    viewers = {
        "paused": Viewer(server.port, scene.path("file"), scene.cookie, paused=True),
        "camera": Viewer(server.port, f"/live/{scene.camera}/mjpeg", scene.cookie),
    }
    for viewer in viewers.values():
        watching.enter_context(viewer)
        assert viewer.status == 200
    acts: dict[str, Callable[[], object]] = {
        "shell": lambda: scene.change("User", user, is_superuser=False),
        "update": lambda: scene.update("User", user, is_superuser=False),
        "admin": lambda: scene.user_form(is_active="on", is_staff="on"),
    }
    ends_all(viewers, acts[way])


@pytest.mark.parametrize("way", ["shell", "update", "admin"])
@pytest.mark.parametrize("before", ["public", "members"])
def test_an_item_that_is_made_private(scene: Scene, watching: ExitStack, way: str, before: str) -> None:
    """For who was let in without signing in, and for a member; its owner goes on watching a members' item."""
    scene.update("Media", scene.item, visibility=before)
    _, member = scene.shell.user()
    whose = [f"Cookie: sessionid={member}"] + (["X-Nobody: 1"] if before == "public" else [])
    viewers = {
        name: watching.enter_context(Viewer(scene.server.port, scene.path("file"), header, paused=True))
        for name, header in zip(("member", "nobody"), whose, strict=False)
    }
    owner = Viewer(scene.server.port, scene.path("file"), scene.cookie, paused=True)
    watching.enter_context(owner)
    assert {viewer.status for viewer in [*viewers.values(), owner]} == {200}
    acts: dict[str, Callable[[], object]] = {
        "shell": lambda: scene.change("Media", scene.item, visibility="private"),
        "update": lambda: scene.update("Media", scene.item, visibility="private"),
        "admin": lambda: scene.item_form(),
    }
    ends_all(viewers, acts[way])
    assert owner.ended is (before == "public")  # nobody asked who it was


@pytest.mark.parametrize("cause", ["owner-admin", "deactivated-admin", "item-deleted-admin", "signed-out"])
def test_who_made_a_change_asks_the_next_moment(scene: Scene, watching: ExitStack, cause: str) -> None:
    """Over a connection whose ranges the worker answers by itself for a second (grants.py). The answer to the change
    is the promise that it counts: nothing may be waited for after it."""
    act, _, refusal = CAUSES[cause]
    asking = Asking(scene.server.port, scene.path("file"), f"Cookie: {ticket(scene)}")
    watching.callback(asking.close)
    assert [asking.status() for _ in range(20)] == [206] * 20
    act(scene)
    assert [asking.status() for _ in range(20)] == [refusal] * 20


@pytest.mark.parametrize("act", ["private", "private by update", "another rate", "deleted"])
def test_a_camera(server: Server, shell: Shell, watching: ExitStack, act: str) -> None:
    slug = secrets.token_hex(4)
    pk = shell.run(
        f"camera = Camera.objects.create(slug={slug!r}, name='x', source='test-pattern', visibility='members')\n"
        "result = camera.pk"
    )
    _, session = shell.user()
    headers = f"Cookie: sessionid={session}", "Connection: close"
    viewers = {
        name: watching.enter_context(Viewer(server.port, f"/live/{slug}/{name}", *headers))
        for name in ("mjpeg", "stream.mp4")
    }
    assert {viewer.status for viewer in viewers.values()} == {200}
    codes = {
        "private": f"camera = Camera.objects.get(pk={pk})\ncamera.visibility = 'private'\ncamera.save()",
        "another rate": f"camera = Camera.objects.get(pk={pk})\ncamera.fps = 5\ncamera.save()",
        "private by update": f"Camera.objects.filter(pk={pk}).update(visibility='private')",
        "deleted": f"Camera.objects.get(pk={pk}).delete()",
    }
    ends_all(viewers, lambda: shell.run(codes[act]))
    shell.run(f"Camera.objects.filter(pk={pk}).delete()")


def test_it_is_logged_as_revoked(scene: Scene, watching: ExitStack) -> None:
    viewer = watching.enter_context(Viewer(scene.server.port, scene.path("stream.mp4?profile=360p"), scene.cookie))
    ends_all({"transcode": viewer}, lambda: scene.update("User", scene.user, is_active=False))
    line = f"stream ended kind=transcode item={scene.item} "
    wait_until(lambda: line in scene.server.log.read_text(), 5, "the line in the log")
    said = next(entry for entry in scene.server.log.read_text().splitlines() if line in entry)
    assert said.endswith("reason=revoked")


def test_a_change_of_somebody_else_ends_nothing(scene: Scene, watching: ExitStack, long_clip: dict[str, str]) -> None:
    viewer = watching.enter_context(Viewer(scene.server.port, scene.path("file"), scene.cookie, paused=True))
    other, _ = scene.shell.user()
    another = scene.shell.item(long_clip["id"], other, "private")
    scene.change("Media", scene.item, title="Another title")
    scene.change("Media", another, visibility="members")
    scene.delete("Media", another)
    scene.delete("User", other)
    time.sleep(1.5)
    assert not viewer.ended


def test_a_crowd_of_changes_hides_none(scene: Scene, watching: ExitStack, long_clip: dict[str, str]) -> None:
    """A job that saves its progress all the time, and the queue of notices is full more often than not."""
    viewer = watching.enter_context(Viewer(scene.server.port, scene.path("file"), scene.cookie, paused=True))
    ends_all(
        {"viewer": viewer},
        lambda: scene.shell.run(
            f"busy = Media.objects.get(pk={long_clip['id']!r})\n"
            f"Media.objects.filter(pk={scene.item!r}).delete()\n"
            "import time\n"
            "until = time.monotonic() + 1\n"
            "while time.monotonic() < until:\n"
            "    busy.save(update_fields=['size'])\n"
        ),
    )


@pytest.fixture(scope="module", params=KINDS[1:], ids=lambda kind: kind.name)
def other(
    server: Server, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    """Another server on the same data."""
    running = Running.run(request.param, server.data_dir, tmp_path_factory.mktemp("other") / "log")
    yield running
    running.kill()


def test_under_other_servers(scene: Scene, watching: ExitStack, other: Running) -> None:
    """What their buffers and the kernel's hold may still reach a viewer who goes on reading, and one who has paused
    sees the end behind it; where the server lets us have its socket he sees it at once. daphne takes a whole film
    from us in no time and keeps a connection open that breaks off: there the FFmpegs end."""
    viewers = {
        "running": Viewer(other.port, scene.path("file"), scene.cookie),
        "transcode": Viewer(other.port, scene.path("stream.mp4?profile=360p"), scene.cookie, "Connection: close"),
        "camera": Viewer(other.port, f"/live/{scene.camera}/mjpeg", scene.cookie, "Connection: close"),
    }
    if other.kind.name in LENDS_SOCKET:
        viewers["paused"] = Viewer(other.port, scene.path("file"), scene.cookie, "Range: bytes=5-", paused=True)
        viewers["paused, whole"] = Viewer(other.port, scene.path("file"), scene.cookie, paused=True)
    for viewer in viewers.values():
        watching.enter_context(viewer)
        assert viewer.status in (200, 206)
    ends_all({} if other.kind.name == "daphne" else viewers, lambda: CAUSES["deactivated-update"][0](scene))
    wait_until(lambda: not other.ffmpegs(), 15, "no FFmpeg")  # a camera's goes on for a while after its last viewer
    with Viewer(other.port, scene.path("file"), scene.cookie) as again:
        assert again.status == 401

"""Who gets which bytes, over the real server: the lean road has no middleware to ask for it."""

import http.cookiejar
import urllib.error
import urllib.parse
import urllib.request
from functools import cache

import pytest

from tests.media import Clips
from tests.system.harness import PASSWORD, Server

pytestmark = pytest.mark.system

ROLES = ("anonymous", "member", "owner", "admin")
MAKE_USERS = f"""
from django.contrib.auth import get_user_model
from media_library.models import Media
users = get_user_model().objects
for name in ("member", "owner"):
    users.filter(username=name).exists() or users.create_user(name, password={PASSWORD!r})
Media.objects.filter(title__startswith="Access").update(owner=users.get(username="owner"))
"""


class Visitor:
    """A browser without eyes: keeps cookies, follows no redirects."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.cookies = http.cookiejar.CookieJar()
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.cookies))

    def sign_in(self, name: str) -> "Visitor":
        self.opener.open(self.server.url("/accounts/login/")).close()
        token = next(cookie.value for cookie in self.cookies if cookie.name == "csrftoken")
        form = {"csrfmiddlewaretoken": token, "username": name, "password": PASSWORD, "next": "/"}
        data = urllib.parse.urlencode(form).encode()
        self.opener.open(self.server.url("/accounts/login/"), data).close()
        assert any(cookie.name == "sessionid" for cookie in self.cookies)
        return self

    def status(self, method: str, path: str) -> int:
        request = urllib.request.Request(self.server.url(path), method=method, headers={"Range": "bytes=0-99"})
        try:
            with self.opener.open(request, timeout=20) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as refusal:
            with refusal:
                return int(refusal.code)


@pytest.fixture(scope="module")
def items(server: Server, clips: Clips) -> dict[str, dict[str, str]]:
    added = {
        visibility: server.add_media(clips["silent.mp4"], "--title", f"Access {visibility}", "--visibility", visibility)
        for visibility in ("public", "members", "private")
    }
    server.manage("shell", "-v0", "-c", MAKE_USERS)
    return added


@pytest.fixture(scope="module")
def visitors(server: Server, items: dict[str, dict[str, str]]) -> dict[str, Visitor]:
    return {role: Visitor(server) if role == "anonymous" else Visitor(server).sign_in(role) for role in ROLES}


@cache
def allowed(role: str, visibility: str) -> int:
    """0, or the status of the refusal."""
    if visibility == "public" or role == "admin" or (role == "owner") or (role == "member" and visibility == "members"):
        return 0
    return 401 if role == "anonymous" else 403


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("visibility", ["public", "members", "private"])
@pytest.mark.parametrize("what", ["file", "poster", "stream"])
def test_bytes_go_to_who_may_have_them(
    items: dict[str, dict[str, str]],
    visitors: dict[str, Visitor],
    what: str,
    visibility: str,
    role: str,
    method: str,
) -> None:
    item = items[visibility]
    path = f"/media/{item['id']}/poster.jpg" if what == "poster" else item[what]
    granted = 206 if method == "GET" and what != "stream" else 200
    assert visitors[role].status(method, path) == (allowed(role, visibility) or granted)


def test_a_wrong_host_is_refused_on_the_lean_road_too(server: Server, items: dict[str, dict[str, str]]) -> None:
    """Else a name that an attacker lets resolve to this machine could read what its visitors may see."""
    request = urllib.request.Request(server.url(items["public"]["file"]), headers={"Host": "evil.example"})
    with pytest.raises(urllib.error.HTTPError) as refusal:
        urllib.request.urlopen(request)
    with refusal.value:
        assert refusal.value.code == 400

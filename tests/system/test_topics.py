"""The topics that are built in, over the real server: from one page to another, and until a right is taken away."""

import json
import re
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.system.harness import PASSWORD, Server, wait_until
from tests.system.test_feeds import Reader
from tests.system.visiting import Shell
from tests.system.websocket import CLOSE, TEXT, WebSocket

pytestmark = pytest.mark.system
SOON = 20  # seconds
CAMERA = "Camera.objects.create(slug='watched', name='Watched', source='test-pattern', visibility='members')"


@pytest.fixture(scope="module")
def shell(server: Server) -> Iterator[Shell]:
    made = Shell(server.data_dir)
    yield made
    made.close()


@pytest.fixture
def camera(shell: Shell) -> Iterator[int]:
    yield shell.run(f"result = {CAMERA}.pk")
    shell.run("Camera.objects.filter(slug='watched').delete()")


def test_a_right_that_is_taken_away_ends_each_topic_it_was_for(server: Server, shell: Shell, camera: int) -> None:
    pk, session = shell.user(is_staff=True, is_superuser=True)
    cookie = f"Cookie: sessionid={session}"
    topics = ["live.watched", f"chat.live.{camera}", "jobs", "sessions"]
    with ExitStack() as stack:
        readers = [stack.enter_context(Reader(server, f"/feeds/{topic}/events", cookie)) for topic in topics]
        sockets = [stack.enter_context(WebSocket(server, f"/ws/feeds/{topic}/", cookie)) for topic in topics]
        for reader, socket in zip(readers, sockets, strict=True):
            assert reader.status == 200
            assert socket.receive()[0] == TEXT
        assert json.loads(readers[0].until(1)[0].data)["state"] == "resting"
        assert "streams" in json.loads(readers[3].until(1)[0].data)
        # Its session goes on, and shows no more than a member's.
        shell.run(
            f"User.objects.filter(pk={pk}).update(is_superuser=False); Camera.objects.update(visibility='private')"
        )
        began = time.monotonic()
        for reader in readers:
            with pytest.raises((ConnectionError, AssertionError)):
                reader.until(10_000)
        for socket in sockets:
            assert closed(socket) == 4403
        assert time.monotonic() - began < SOON
    shell.run("Camera.objects.update(visibility='public')")


def closed(socket: WebSocket) -> int:
    """Its close code."""
    opcode, payload = socket.receive()
    while opcode == TEXT:
        opcode, payload = socket.receive()
    assert opcode == CLOSE
    return int(struct.unpack("!H", payload[:2])[0])


def test_a_thousand_rooms_that_were_read_leave_nothing(server: Server, shell: Shell) -> None:
    """Each was open for a moment."""
    numbers = shell.run(
        "made = Camera.objects.bulk_create(Camera(slug=f'c{n}', name='x', source='test-pattern', visibility='public')"
        " for n in range(300))\nresult = [camera.pk for camera in made]"
    )
    before = server.descriptors()
    for number in numbers:
        with Reader(server, f"/feeds/chat.live.{number}/events") as reader:
            assert reader.status == 200
    wait_until(lambda: server.descriptors() <= before + 2, SOON, "their connections to be gone")
    shell.run("Camera.objects.filter(slug__regex='^c[0-9]+$').delete()")


@pytest.fixture
def people(shell: Shell) -> Iterator[None]:
    shell.run("for name in ('ann', 'ben'): User.objects.create_user(name, password='x')")
    yield
    shell.run("User.objects.filter(username__in=('ann', 'ben')).delete()")


def signed_in(context: BrowserContext, name: str, password: str, address: str) -> Page:
    page = context.new_page()
    page.goto(f"/accounts/login/?next={address}")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()
    return page


@pytest.fixture
def visit(browser: Browser, server: Server) -> Iterator[Any]:
    """Each in a browser of their own."""
    with ExitStack() as stack:

        def visit() -> BrowserContext:
            context = browser.new_context(base_url=server.url(""))
            context.set_default_timeout(1000 * SOON)
            stack.callback(context.close)
            return context

        yield visit


@pytest.mark.browser
def test_people_talk_and_an_administrator_looks_after_them(
    server: Server, shell: Shell, camera: int, people: None, visit: Any
) -> None:
    """Two people at a camera, one of whom is shown video; an administrator who sees both streams, ends one, and hides
    what was said."""
    ann, ben = (signed_in(visit(), name, "x", "/live/watched/") for name in ("ann", "ben"))
    asked: list[str] = []
    ben.on("request", lambda request: asked.append(request.method))
    ben.get_by_role("radio", name="Video").check()
    for page in (ann, ben):
        expect(page.locator(".watching")).to_have_text("2 watching", timeout=1000 * SOON)
        expect(page.locator(".state")).to_have_text("live", timeout=1000 * SOON)
    hostile = "<img src=x onerror=alert(1)> \u2028 &amp;"
    ann.get_by_label("Message", exact=True).fill(hostile)
    ann.keyboard.press("Enter")
    expect(ben.locator(".messages .said")).to_have_text("<img src=x onerror=alert(1)> &amp;")
    assert ben.locator(".messages img").count() == 0
    ben.get_by_label("Message", exact=True).fill("hello ann")
    ben.keyboard.press("Enter")
    expect(ann.locator(".messages li")).to_have_count(2)
    expect(ann.get_by_label("Message", exact=True)).to_have_value("")
    assert "HEAD" not in asked  # the topic tells it

    boss = signed_in(visit(), "admin", PASSWORD, "/admin/streams/openstream/")
    video = boss.locator("td", has_text=re.compile("^video$"))
    row = boss.locator("#streams tr", has_text="ben", has=video)
    expect(row).to_have_count(1)
    expect(row.locator("td").first).to_have_text("Watched")
    number = shell.run("from mediastream.chat.models import Message\nresult = Message.objects.earliest('pk').pk")
    row.get_by_role("button").focus()
    boss.keyboard.press("Enter")
    expect(boss.locator("#streams tr", has_text="ann").first).to_be_visible()
    wait_until(lambda: "kind=video item=watched" in revoked(server), SOON, "the stream to be ended")
    boss.goto(f"/admin/chat/message/?id={number}")
    boss.locator("#result_list input.action-select").check()
    boss.locator("select[name=action]").select_option("hide")
    boss.get_by_role("button", name=re.compile("^(Go|Run)")).click()
    for page in (ann, ben):
        expect(page.locator(".messages .said")).to_have_text("hello ann")
    ann.reload()
    expect(ann.locator(".messages .said")).to_have_text("hello ann")


def revoked(server: Server) -> str:
    return "\n".join(line for line in server.log.read_text().splitlines() if line.endswith("reason=revoked"))

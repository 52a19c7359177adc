"""The wall's socket over the real server: by hand, and in Chromium with more cameras than it has connections."""

import io
import json
import shutil
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.system.harness import Server, wait_until
from tests.system.visiting import Shell
from tests.system.websocket import BINARY, CLOSE, TEXT, Refused, WebSocket

pytestmark = pytest.mark.system

CAMERAS = 8
MAKE = f"""
common = dict(source="test-pattern", fps=2)
for number in range({CAMERAS}):
    Camera.objects.create(slug=f"cam-{{number}}", name=f"Camera {{number}}", visibility="public", **common)
Camera.objects.create(slug="hidden", name="Hidden", visibility="private", **common)
"""


@pytest.fixture(scope="module")
def server(seeded: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server.start(shutil.copytree(seeded, tmp_path_factory.mktemp("wall") / "data"))
    yield server
    server.stop()


@pytest.fixture(scope="module", autouse=True)
def cameras(shell: Shell) -> None:
    shell.run(MAKE)


def show(socket: WebSocket, **tiles: dict[str, float]) -> None:
    socket.send(json.dumps({"show": {slug.replace("_", "-"): tile for slug, tile in tiles.items()}}))


def until(socket: WebSocket, **wanted: object) -> dict[str, object]:
    """The next text message that says all that."""
    while True:
        opcode, payload = socket.receive()
        if opcode == TEXT and wanted.items() <= (said := json.loads(payload)).items():
            return dict(said)


def picture(socket: WebSocket) -> tuple[int, float, Image.Image]:
    while True:
        opcode, payload = socket.receive()
        if opcode == BINARY:
            number, captured = struct.unpack_from("!Hd", payload)
            return number, captured, Image.open(io.BytesIO(payload[10:]))


def test_pictures_of_several_cameras_in_the_size_asked_for(server: Server) -> None:
    with WebSocket(server, "/ws/live/") as socket:
        show(socket, cam_0={"width": 300}, cam_1={})
        seen: dict[int, tuple[int, float]] = {}
        while len(seen) < 2:
            number, captured, image = picture(socket)
            seen[number] = image.width, captured
        assert sorted(width for width, _ in seen.values()) == [320, 960]
        assert all(abs(captured - time.time()) < 10 for _, captured in seen.values())


def test_what_is_shown_no_longer_is_sent_no_longer(server: Server) -> None:
    with WebSocket(server, "/ws/live/") as socket:
        show(socket, cam_0={})
        until(socket, camera="cam-0", state="live")
        show(socket, cam_1={})
        number = until(socket, camera="cam-1", state="live")["number"]
        assert {picture(socket)[0] for _ in range(4)} == {number}


def test_a_camera_one_may_not_see_is_refused_and_the_others_come(server: Server) -> None:
    with WebSocket(server, "/ws/live/") as socket:
        show(socket, hidden={}, cam_0={}, no_such={})
        assert "Sign in" in str(until(socket, camera="hidden", state="refused")["detail"])
        number = until(socket, camera="cam-0", state="live")["number"]
        assert picture(socket)[0] == number


def test_a_camera_made_private_by_another_process_goes_dark(server: Server, shell: Shell) -> None:
    change = """
camera = Camera.objects.get(slug="cam-2")
camera.visibility = "{}"
camera.save()
"""
    with WebSocket(server, "/ws/live/") as socket:
        show(socket, cam_2={})
        until(socket, camera="cam-2", state="live")
        shell.run(change.format("private"))
        try:
            until(socket, camera="cam-2", state="refused")
        finally:
            shell.run(change.format("public"))


@pytest.mark.parametrize("text", ["", "x", '{"show": 5}', '{"show": {"a/b": {}}}'])
def test_a_message_without_meaning_is_answered_and_changes_nothing(server: Server, text: str) -> None:
    with WebSocket(server, "/ws/live/") as socket:
        socket.send(text)
        assert "no meaning" in str(until(socket, error="bad_input")["detail"])
        show(socket, cam_0={})
        until(socket, camera="cam-0", state="live")


def test_a_message_too_large_ends_the_socket(server: Server) -> None:
    with WebSocket(server, "/ws/live/") as socket:
        socket.send("x" * 65537)
        opcode, payload = socket.receive()
        while opcode == TEXT:  # the time, which comes first
            opcode, payload = socket.receive()
        assert (opcode, struct.unpack("!H", payload[:2])[0]) == (CLOSE, 1009)


@pytest.mark.parametrize("origin", ["http://evil.example", None])
def test_a_handshake_from_another_site_is_refused(server: Server, origin: str | None) -> None:
    with pytest.raises(Refused, match="403"):
        WebSocket(server, "/ws/live/", origin=origin)


def test_there_is_no_socket_elsewhere(server: Server) -> None:
    with pytest.raises(Refused, match="403"):
        WebSocket(server, "/ws/nowhere/")


def test_a_page_that_leaves_leaves_nothing(server: Server) -> None:
    with WebSocket(server, "/ws/live/") as socket:
        show(socket, cam_3={}, cam_4={})
        until(socket, camera="cam-4", state="live")
        assert server.ffmpegs()
    wait_until(lambda: not server.ffmpegs(), 20, "the cameras to rest")


def test_a_page_that_leaves_while_it_is_answered_leaves_nothing(server: Server) -> None:
    with WebSocket(server, "/ws/live/") as first:
        show(first, cam_5={})
        picture(first)  # so that the next page's comes at once
        for _ in range(5):
            with WebSocket(server, "/ws/live/") as second:
                show(second, cam_5={}, **{f"no_such_{number}": {} for number in range(60)})
                picture(second)
    wait_until(lambda: not server.ffmpegs(), 20, "the cameras to rest")


@pytest.mark.browser
def test_more_cameras_than_connections_all_advance(server: Server, page: Page, tmp_path: Path) -> None:
    page.goto(server.url("/live/"))
    states = page.locator("[data-slug^=cam-] .state")
    expect(states).to_have_count(CAMERAS)
    for number in range(CAMERAS):
        expect(states.nth(number)).to_have_text("live", timeout=60_000)
    look = "[...document.querySelectorAll('[data-slug^=cam-] canvas')].map(canvas => canvas.toDataURL())"
    before = page.evaluate(look)
    assert len(set(before)) > 0
    wait_until(lambda: all(a != b for a, b in zip(before, page.evaluate(look), strict=True)), 30, "all to advance")

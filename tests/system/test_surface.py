"""The HTTP surface over real sockets: HEAD everywhere, bodies too large, several requests on one connection."""

import json
import socket
import time
import uuid

import pytest
from django.urls import URLPattern, URLResolver, get_resolver

from tests.media import Clips
from tests.system.harness import Server, read_head, request

pytestmark = pytest.mark.system

LARGE = 100 * 1024 * 1024


def patterns(resolver: URLResolver, prefix: str = "") -> list[str]:
    found = []
    for pattern in resolver.url_patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            found += patterns(pattern, route)
        elif isinstance(pattern, URLPattern):
            found.append(route)
    return found


def concrete(route: str, media_id: str) -> str:
    import re

    values = {"media_id": media_id, "slug": "test-pattern", "name": "nothing.css", "app_label": "auth"}
    path = re.sub(r"<(?:\w+:)?(\w+)>", lambda match: values.get(match[1], "1"), route)
    path = re.sub(r"\(\?P<(\w+)>[^)]*\)", lambda match: values.get(match[1], "auth"), path)
    return "/" + re.sub(r"[\^$\\?]|\(.*?\)", "", path)


ROUTES = sorted(set(patterns(get_resolver())))


@pytest.mark.parametrize("route", ROUTES)
def test_head_answers_at_once_and_starts_nothing(server: Server, long_clip: dict[str, str], route: str) -> None:
    before = {child.pid for child in server.ffmpegs()}
    with server.connect(timeout=1.0) as connection:
        started = time.monotonic()
        connection.sendall(request(concrete(route, long_clip["id"]), "Connection: close", method="HEAD"))
        status, _, body = read_head(connection)
        body += connection.recv(10)
    assert status < 500
    assert body == b""
    assert time.monotonic() - started < 1.0
    assert {child.pid for child in server.ffmpegs()} <= before


@pytest.mark.parametrize("path", ["/", "/media/{id}/file", "/nowhere", "/healthz/live", "/admin/login/"])
def test_a_large_body_is_refused_to_any_address(server: Server, long_clip: dict[str, str], path: str) -> None:
    """The answer arrives although the sender never stops to listen."""
    path = path.format(id=long_clip["id"])
    with server.connect() as connection:
        head = request(path, f"Content-Length: {LARGE}", "Content-Type: application/octet-stream", method="POST")
        connection.sendall(head)
        piece = bytes(1024 * 1024)
        for _ in range(LARGE // len(piece)):
            connection.sendall(piece)
        status, _, body = read_head(connection)
        while chunk := connection.recv(65536):
            body += chunk
    assert status == 413
    assert json.loads(body)["error"] == "too_large"


def test_a_chunked_body_is_counted(server: Server) -> None:
    with server.connect() as connection:
        connection.sendall(request("/", "Transfer-Encoding: chunked", method="POST"))
        piece = b"10000\r\n" + bytes(65536) + b"\r\n"
        for _ in range(40):
            connection.sendall(piece)
        connection.sendall(b"0\r\n\r\n")
        status, _, _ = read_head(connection)
    assert status == 413


def test_an_upload_without_a_session_is_refused_before_it_is_read(server: Server) -> None:
    with server.connect() as connection:
        connection.sendall(request("/admin/media_library/media/add/", f"Content-Length: {LARGE}", method="POST"))
        status, headers, _ = read_head(connection)
    assert status == 401
    assert "www-authenticate" in headers


def test_pipelined_ranges_come_back_in_order(server: Server, clips: Clips, long_clip: dict[str, str]) -> None:
    content = clips["long.mp4"].read_bytes()
    starts = (0, 100_000, 5, 70_000)
    with server.connect() as connection:
        connection.sendall(
            b"".join(request(long_clip["file"], f"Range: bytes={start}-{start + 70_000 - 1}") for start in starts)
        )
        rest = b""
        for start in starts:
            while b"\r\n\r\n" not in rest:
                rest += connection.recv(65536)
            head, _, rest = rest.partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 206")
            while len(rest) < 70_000:
                rest += connection.recv(65536)
            assert rest[:70_000] == content[start : start + 70_000]
            rest = rest[70_000:]


@pytest.mark.parametrize("path", ["/watch/x/", "/media/x/file", f"/media/{uuid.UUID(int=4)}/stream.mp4"])
def test_an_unknown_item_is_404_with_a_sentence(server: Server, path: str) -> None:
    with server.connect() as connection:
        connection.sendall(request(path, "Connection: close"))
        status, headers, body = read_head(connection)
        while chunk := connection.recv(65536):
            body += chunk
    assert status == 404
    assert headers["cache-control"] == "no-store"
    assert json.loads(body)["detail"].endswith(".")


def test_viewers_who_wait_for_a_dead_camera_keep_nobody_from_a_page(server: Server) -> None:
    """The source hangs in its handshake for as long as the server waits; more viewers than there are threads."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        source = f"http://127.0.0.1:{silent.getsockname()[1]}/never"
        server.manage("add_camera", "silent", source, "--visibility", "public")
        waiting = [server.open("/live/silent/mjpeg") for _ in range(40)]
        time.sleep(1)
        with server.connect(timeout=5) as connection:
            connection.sendall(request("/", "Connection: close"))
            assert read_head(connection)[0] == 200
        for viewer in waiting:
            viewer.close()
    server.manage(
        "shell", "-v0", "-c", "from mediastream.live.models import Camera as C; C.objects.get(slug='silent').delete()"
    )

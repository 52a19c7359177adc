"""Cameras over HTTP: real pictures of the test pattern, and sources that fail."""

import io
import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import av
import pytest
from asgiref.sync import sync_to_async
from django.conf import LazySettings
from django.test import AsyncClient, Client
from PIL import Image

from mediastream import drain, homeloop
from mediastream.live import encoder, producer, registry, videos
from mediastream.live.models import Camera
from tests.media import Clips
from tests.media_library.conftest import child_pids, client_of, collect_static, make_visitor

pytestmark = pytest.mark.django_db
PASSWORD = "hunter2"


@pytest.fixture(autouse=True)
def static_files() -> None:
    collect_static()


@pytest.fixture(autouse=True)
def cameras_closed() -> Iterator[None]:
    """A camera lingers after its last viewer; the next test must not find it."""
    before = child_pids()
    yield
    homeloop.call(registry.close_all(), 10)
    homeloop.call(videos.close_all(), 10)
    assert child_pids() <= before


def make_camera(source: str = "test-pattern", slug: str = "yard", **fields: object) -> Camera:
    return Camera.objects.create(**{"slug": slug, "name": "Yard", "source": source, "visibility": "public"} | fields)


@pytest.mark.parametrize(
    "path", ["/live/none/", "/live/none/mjpeg", "/live/none/snapshot.jpg", "/live/none/stream.mp4"]
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_an_unknown_camera(client: Client, path: str, method: str) -> None:
    response = client.generic(method, path)
    assert response.status_code == 404
    if method == "GET":
        assert response.json()["error"] == "unknown"
        assert "/live/ lists those there are" in response.json()["detail"]


def test_a_snapshot(client: Client) -> None:
    make_camera()
    before = time.time()
    response = client.get("/live/yard/snapshot.jpg")
    assert response.status_code == 200
    assert response["Content-Type"] == "image/jpeg"
    assert response["Cache-Control"] == "private, no-store"
    assert response["X-Content-Type-Options"] == "nosniff"
    assert re.fullmatch(r"\d{10}\.\d{6}", response["X-Timestamp"])
    assert before <= float(response["X-Timestamp"]) <= time.time()
    assert re.fullmatch(r"\d\.\d{3}", response["X-Frame-Age"])
    with av.open(io.BytesIO(response.content)) as container:
        picture = next(container.decode(video=0))
    assert (picture.width, picture.height) == (960, 540)


@pytest.mark.parametrize(
    "given", ["", "-1", "x", "1e3", "nan", "1,5", "86401", "9999999", "+1", " 1", "1&max_age=1", "\u0661"]
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_an_age_that_is_none(client: Client, method: str, given: str) -> None:
    make_camera()
    response = client.generic(method, f"/live/yard/snapshot.jpg?max_age={quote(given, safe='&=')}")
    assert response.status_code == 400
    if method == "GET":
        assert "max_age is one number from 0 to 86400" in response.json()["detail"]
    assert not registry._cameras


@pytest.mark.parametrize("given", ["0", "2.5", "86400"])
def test_a_snapshot_no_older_than_that(client: Client, given: str) -> None:
    make_camera()
    for _ in range(2):
        asked = time.time()
        response = client.get(f"/live/yard/snapshot.jpg?max_age={given}")
        assert response.status_code == 200
        assert float(response["X-Timestamp"]) >= asked - float(given)
        assert response["X-Camera-State"] == "live"


def test_head_tells_how_the_camera_is(client: Client) -> None:
    make_camera()
    response = client.head("/live/yard/snapshot.jpg")
    assert response["X-Camera-State"] == "resting"
    assert "X-Frame-Age" not in response
    taken = client.get("/live/yard/snapshot.jpg")
    response = client.head("/live/yard/snapshot.jpg")
    assert response["X-Camera-State"] == "live"
    assert float(response["X-Timestamp"]) >= float(taken["X-Timestamp"])
    assert re.fullmatch(r"\d\.\d{3}", response["X-Frame-Age"])


def test_a_snapshot_of_a_camera_that_has_failed_says_so(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the picture and in its head; who wants a new one alone gets none."""
    monkeypatch.setattr(producer, "BACKOFF", (60.0, 60.0))
    make_camera()
    before = child_pids()
    live = client.get("/live/yard/snapshot.jpg")
    for pid in child_pids() - before:
        os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while client.head("/live/yard/snapshot.jpg")["X-Camera-State"] != "reconnecting":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    response = client.get("/live/yard/snapshot.jpg")
    assert (response.status_code, response["X-Camera-State"]) == (200, "reconnecting")
    assert float(response["X-Timestamp"]) >= float(live["X-Timestamp"])
    assert response["X-Timestamp"] == client.get("/live/yard/snapshot.jpg")["X-Timestamp"]
    with Image.open(io.BytesIO(response.content)) as drawn:
        assert drawn.size == (960, 540)
        assert drawn.convert("HSV").getextrema()[1][1] < 20, "grey"
    refused = client.get("/live/yard/snapshot.jpg?max_age=0")
    assert (refused.status_code, refused.json()["error"]) == (503, "source_failed")


def test_a_second_snapshot_is_of_the_same_capture_and_later(client: Client) -> None:
    make_camera()
    stamps = []
    before = child_pids()
    for _ in range(3):
        stamps.append(float(client.get("/live/yard/snapshot.jpg")["X-Timestamp"]))
        time.sleep(0.1)
    assert stamps == sorted(set(stamps))
    assert len(child_pids() - before) == 1


@pytest.mark.parametrize(
    ("name", "content_type"),
    [
        ("mjpeg", "multipart/x-mixed-replace; boundary=frame"),
        ("snapshot.jpg", "image/jpeg"),
        ("stream.mp4", "video/mp4"),
    ],
)
def test_head_starts_nothing(client: Client, name: str, content_type: str) -> None:
    make_camera()
    before = child_pids()
    response = client.head(f"/live/yard/{name}")
    assert response.status_code == 200
    assert response["Content-Type"] == content_type
    assert response["Cache-Control"] == "private, no-store"
    assert "Content-Length" not in response
    assert child_pids() <= before
    assert not registry._cameras


def test_the_stream_is_parts_of_jpeg(client: Client) -> None:
    make_camera()
    response = client.get("/live/yard/mjpeg")
    assert response["Content-Type"] == "multipart/x-mixed-replace; boundary=frame"
    assert response["X-Accel-Buffering"] == "no"
    chunks = iter(response)
    body = b"".join(next(chunks) for _ in range(5))
    response.close()
    assert body.startswith(b"--frame\r\n")
    assert body.endswith(b"\r\n--frame\r\n")
    stamps = []
    for part in body.removeprefix(b"--frame\r\n").split(b"\r\n--frame\r\n")[:-1]:
        head, _, jpeg = part.partition(b"\r\n\r\n")
        fields = dict(line.split(": ") for line in head.decode().split("\r\n"))
        assert fields["Content-Type"] == "image/jpeg"
        assert int(fields["Content-Length"]) == len(jpeg)
        assert jpeg.startswith(b"\xff\xd8")
        assert jpeg.endswith(b"\xff\xd9")
        assert re.fullmatch(r"\d{10}\.\d{6}", fields["X-Timestamp"])
        stamps.append(float(fields["X-Timestamp"]))
    assert len(stamps) == 5
    assert stamps == sorted(set(stamps))


def test_low_latency_video(client: Client) -> None:
    make_camera()
    before = child_pids()
    responses = [client.get("/live/yard/stream.mp4") for _ in range(2)]
    for response in responses:
        assert re.fullmatch(r'video/mp4; codecs="avc1\.[0-9A-F]{6}"', response["Content-Type"])
        assert response["Accept-Ranges"] == "none"
        assert response["Cache-Control"] == "private, no-store"
        assert response["X-Accel-Buffering"] == "no"
        assert response["X-Content-Type-Options"] == "nosniff"
        chunks = iter(response)
        body = b"".join(next(chunks) for _ in range(10))
        with av.open(io.BytesIO(body), format="mp4") as container:
            sizes = [(frame.width, frame.height) for frame in container.decode(video=0)]
        assert sizes == [(960, 540)] * 9
    assert len(child_pids() - before) == 2, "one captures, one encodes"
    for response in responses:
        response.close()
    assert videos._feeds["yard"].subscribers == 0


@pytest.mark.parametrize("visitor", ["superuser", "anonymous"])
def test_an_encoder_that_fails(visitor: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What FFmpeg says of it is for administrators."""
    failing = tmp_path / "ffmpeg"
    failing.write_text("#!/bin/sh\necho \"[fatal] Unknown encoder 'libx264'\" >&2; exit 1\n")
    failing.chmod(0o755)
    monkeypatch.setattr(encoder, "argv", lambda *_: [str(failing)])
    make_camera()
    response = client_of(make_visitor(visitor)).get("/live/yard/stream.mp4")
    assert response.status_code == 503
    assert response["Retry-After"] == "5"
    said = response.json()
    assert said["error"] == "encoder_failed"
    assert ("Unknown encoder" in said["detail"]) == (visitor == "superuser")
    assert "cannot be made now" in said["detail"]
    assert videos._feeds["yard"].subscribers == 0


@pytest.mark.parametrize("given", ["", "0", "0.09", "60.1", "-5", "x", "5fps", "nan", "5&fps=5"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_rate_that_is_none(client: Client, method: str, given: str) -> None:
    make_camera()
    response = client.generic(method, f"/live/yard/mjpeg?fps={given}")
    assert response.status_code == 400
    if method == "GET":
        assert "fps is one number from 0.1 to 60" in response.json()["detail"]
    assert not registry._cameras


def test_a_viewer_may_want_fewer(client: Client) -> None:
    make_camera()
    whole = client.get("/live/yard/mjpeg")
    response = client.get("/live/yard/mjpeg?fps=4")
    stamps = []
    for _, part in zip(range(4), response, strict=False):
        stamps.append(float(re.search(rb"X-Timestamp: ([\d.]+)", part)[1]))  # type: ignore[index]
    response.close()
    whole.close()
    assert stamps[-1] - stamps[0] > 0.6


def test_all_viewers_share_one_capture(client: Client) -> None:
    make_camera()
    before = child_pids()
    responses = [client.get("/live/yard/mjpeg") for _ in range(3)]
    for response in responses:
        assert next(iter(response))
    responses += [client.get("/live/yard/mjpeg") for _ in range(2)]
    assert len(child_pids() - before) == 1
    for response in responses:
        response.close()
    assert registry._cameras["yard"].viewers == 0


def test_a_capture_ends_a_linger_after_its_last_viewer(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "LINGER", 0.1)
    make_camera()
    before = child_pids()
    response = client.get("/live/yard/mjpeg")
    assert child_pids() - before
    response.close()
    deadline = time.monotonic() + 5
    while child_pids() - before and time.monotonic() < deadline:
        time.sleep(0.02)
    assert child_pids() <= before


def test_a_changed_source_ends_the_old_capture(client: Client, clips: Clips) -> None:
    camera = make_camera()
    response = client.get("/live/yard/mjpeg")
    chunks = iter(response)
    next(chunks)
    camera.source = str(clips["silent.mp4"])
    camera.save()
    picture = client.get("/live/yard/snapshot.jpg").content
    with av.open(io.BytesIO(picture)) as container:
        assert next(container.decode(video=0)).width == 320
    assert len(list(chunks)) <= 1
    response.close()


def test_a_file_is_a_camera_that_starts_over(client: Client, clips: Clips) -> None:
    make_camera(str(clips["silent.mp4"]))
    response = client.get("/live/yard/snapshot.jpg")
    assert response.status_code == 200


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (f"rtsp://admin:{PASSWORD}@127.0.0.1:1/stream", "Connection refused"),
        (f"http://admin:{PASSWORD}@127.0.0.1:1/video", "Connection refused"),
        (f"rtmp://127.0.0.1:1/live?token={PASSWORD}", "."),
        (f"/nonexistent/{PASSWORD}.mp4", "No such file"),
    ],
)
@pytest.mark.parametrize("name", ["mjpeg", "snapshot.jpg", "stream.mp4"])
@pytest.mark.parametrize("visitor", ["superuser", "staff", "anonymous"])
def test_a_source_that_fails(
    caplog: pytest.LogCaptureFixture, source: str, reason: str, name: str, visitor: str
) -> None:
    """Administrators learn why, but not how to sign in to it; visitors learn neither why nor where it is kept."""
    make_camera(source)
    response = client_of(make_visitor(visitor)).get(f"/live/yard/{name}")
    assert response.status_code == 503
    assert response["Retry-After"] == "5"
    assert response["Cache-Control"] == "no-store"
    said = response.json()
    assert said["error"] == "source_failed"
    if visitor == "superuser":
        assert reason in said["detail"]
    else:
        assert said["detail"] == "The camera gives no picture now. It is tried again by itself."
    assert said["detail"].endswith("It is tried again by itself.")
    assert PASSWORD not in said["detail"]
    assert registry._cameras["yard"].viewers == 0
    if "@" in source:
        assert PASSWORD not in caplog.text


def test_a_playlist_in_a_cameras_place_opens_nothing_else(client: Client, clips: Clips, tmp_path: Path) -> None:
    playlist = tmp_path / "x.mp4"
    playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{clips['silent.mp4']}\n#EXT-X-ENDLIST\n")
    make_camera(str(playlist))
    assert client.get("/live/yard/snapshot.jpg").status_code == 503


def test_a_server_that_stops_ends_its_streams(client: Client) -> None:
    make_camera()
    response = client.get("/live/yard/mjpeg")
    chunks = iter(response)
    assert next(chunks)

    async def stop() -> None:
        drain.begin()

    homeloop.call(stop(), 5)
    assert len(list(chunks)) <= 1
    response.close()


def test_the_page_and_the_wall(client: Client) -> None:
    make_camera(f"rtsp://admin:{PASSWORD}@camera.example/stream", name="<Yard>")
    before = child_pids()
    for path in ("/live/", "/live/yard/"):
        page = client.get(path).content.decode()
        assert 'data-mjpeg="/live/yard/mjpeg"' in page
        assert 'data-snapshot="/live/yard/snapshot.jpg"' in page
        assert "&lt;Yard&gt;" in page
        assert PASSWORD not in page
        assert "camera.example" not in page
    assert child_pids() <= before


def test_an_empty_wall_says_so(client: Client) -> None:
    make_camera(visibility="private")
    assert b"No cameras that you may see." in client.get("/live/").content


def test_an_ffmpeg_that_is_gone_is_no_traceback(client: Client, settings: LazySettings) -> None:
    make_camera()
    settings.FFMPEG = "no-such-ffmpeg"
    client.raise_request_exception = False
    response = client.get("/live/yard/snapshot.jpg")
    assert response.status_code == 500
    assert response.json()["error"] == "internal"


@pytest.mark.django_db(transaction=True)
async def test_on_a_native_loop() -> None:
    """The camera belongs to the home loop while the body is pulled on this one."""
    await sync_to_async(make_camera)()
    response = await AsyncClient().get("/live/yard/mjpeg")
    parts = []
    async for chunk in response:
        parts.append(chunk)
        if len(parts) == 3:
            break
    await sync_to_async(response.close)()
    assert all(part.endswith(b"--frame\r\n") for part in parts)
    assert registry._cameras["yard"].viewers == 0

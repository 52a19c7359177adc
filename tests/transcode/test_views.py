"""The stream's address: what it refuses, and that whatever happens no FFmpeg and no place is left behind."""

import errno
import io
import os
import re
import uuid
from collections.abc import Iterator

import av
import pytest
from asgiref.sync import sync_to_async
from django.conf import LazySettings, settings
from django.test import AsyncClient, Client

from media_library.models import Media, State
from mediastream import bodies, drain, homeloop
from mediastream.errors import StreamCut
from tests.media import Clips
from tests.media_library.conftest import child_pids, client_of, make_clip, make_media, make_visitor
from transcode import registry
from transcode.profiles import PROFILES

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    before = child_pids()
    yield
    assert registry.running() == 0
    assert child_pids() <= before


def address(media: Media, query: str = "") -> str:
    return f"/media/{media.pk}/stream.mp4{query}"


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("start=-1", "start: "),
        ("start=nan", "start: "),
        ("start=inf", "start: "),
        ("start=-inf", "start: "),
        ("start=x", "start: "),
        ("start=1;2", "start: "),
        ("start=1e99", "start: "),
        ("start=999999999", "past the end"),
        ("start=10.5", "past the end; the length is 10"),
        ("start=99999", "past the end"),
        ("profile=8k", "Profiles are original, 360p, 480p, 720p, 1080p."),
        ("profile=720p%00", "profile: "),
        ("start=1&profile=../x", "profile: "),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_bad_query_is_400_with_a_sentence(client: Client, clips: Clips, query: str, said: str, method: str) -> None:
    before = child_pids()
    response = client.generic(method, address(make_clip(clips, "h264.mp4"), f"?{query}"))
    assert response.status_code == 400
    assert child_pids() <= before
    if method == "GET":
        answer = response.json()
        assert answer["error"] == "bad_input"
        assert said in answer["detail"]
        assert answer["detail"].endswith(".")
        assert response["Cache-Control"] == "no-store"


@pytest.mark.parametrize("query", ["", "?start=0", "?start=9.9", "?start=", "?profile=360p", "?start=%201.5%20&x=1"])
def test_head_starts_nothing(client: Client, clips: Clips, query: str) -> None:
    before = child_pids()
    response = client.head(address(make_clip(clips, "mpeg4.avi"), query))
    assert response.status_code == 200
    assert response["Content-Type"] == "video/mp4"
    assert response["Accept-Ranges"] == "none"
    assert response["X-Accel-Buffering"] == "no"
    assert "Content-Length" not in response
    assert child_pids() <= before


@pytest.mark.parametrize(
    ("name", "query", "kinds", "height", "seconds"),
    [
        ("mpeg4.avi", "?start=7&profile=360p", ["video", "audio"], 180, 3.0),
        ("yuv444.mp4", "?start=8.5", ["video", "audio"], 180, 1.5),
        ("silent.mp4", "", ["video"], 180, 3.0),
        ("sound.mp3", "?start=1", ["audio"], None, 2.0),
        ("odd.mp4", "", ["video"], 182, 2.0),
    ],
)
def test_the_stream_is_fragmented_mp4_that_opens(
    client: Client, clips: Clips, name: str, query: str, kinds: list[str], height: int | None, seconds: float
) -> None:
    response = client.get(address(make_clip(clips, name), query))
    assert response.status_code == 200
    assert response["Content-Type"] == ("video/mp4" if height else "audio/mp4")
    assert response["Accept-Ranges"] == "none"
    assert "Content-Length" not in response
    assert "Content-Encoding" not in response
    content = b"".join(response)
    response.close()
    assert content[4:8] == b"ftyp"
    assert content.index(b"moov") < content.index(b"moof") < content.index(b"mdat")
    with av.open(io.BytesIO(content)) as container:
        assert [stream.type for stream in container.streams] == kinds
        pictures = list(container.decode(video=0)) if height else []
    if height:
        assert (pictures[0].height, pictures[0].format.name) == (height, "yuv420p")
        assert len(pictures) / 25 == pytest.approx(seconds, abs=0.2)
        assert float(pictures[0].time) == pytest.approx(0, abs=0.1)


def test_a_range_has_no_meaning_here(client: Client, clips: Clips) -> None:
    """The length is not known: a player that asks for a part gets the whole and sees why."""
    response = client.get(address(make_clip(clips, "silent.mp4"), "?start=2"), headers={"Range": "bytes=0-9"})
    assert response.status_code == 200
    assert len(b"".join(response)) > 1000


@pytest.mark.parametrize("read", [0, 1])
def test_a_response_closed_early_ends_ffmpeg(client: Client, clips: Clips, read: int) -> None:
    before = child_pids()
    response = client.get(address(make_clip(clips, "h264.mp4"), "?profile=360p"))
    assert child_pids() - before
    chunks = iter(response)
    for _ in range(read):
        next(chunks)
    assert registry.running() == 1
    response.close()
    assert registry.running() == 0
    assert child_pids() <= before


@pytest.mark.parametrize("running", [0, 1])
def test_past_the_limit_it_is_503_with_retry_after(
    client: Client, clips: Clips, settings: LazySettings, running: int
) -> None:
    settings.TRANSCODES = running
    path = address(make_clip(clips, "h264.mp4"), "?profile=360p&start=1")
    held = [client.get(path) for _ in range(running)]
    response = client.get(path)
    assert response.status_code == 503
    assert response["Retry-After"] == "5"
    assert response.json()["error"] == "busy"
    assert registry.running() == running
    assert client.head(path).status_code == 200
    for other in held:
        other.close()


def test_a_file_that_is_gone_is_404(client: Client, clips: Clips) -> None:
    media = make_clip(clips, "silent.mp4")
    media.path.unlink()
    response = client.get(address(media))
    assert response.status_code == 404
    assert response.json()["error"] == "unknown"


@pytest.mark.parametrize("garbage", [b"words" * 1000, b""])
def test_a_file_ffmpeg_cannot_read_is_500_with_its_words(client: Client, clips: Clips, garbage: bytes) -> None:
    media = make_clip(clips, "silent.mp4")
    media.path.write_bytes(garbage)
    response = client.get(address(media))
    assert response.status_code == 500
    answer = response.json()
    assert answer["error"] == "transcode_failed"
    assert re.fullmatch(r"This file cannot be transcoded: .+\.", answer["detail"])
    for local in (str(settings.DATA_DIR), str(media.path.name), "0x"):
        assert local not in answer["detail"]


def test_an_ffmpeg_that_cannot_be_started(client: Client, clips: Clips, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transcode.argv.progressive", lambda *args, **kwargs: ["/nonexistent/ffmpeg"])
    response = client.get(address(make_clip(clips, "silent.mp4")))
    assert response.status_code == 500
    assert response.json()["error"] == "transcode_failed"


def test_an_ffmpeg_for_which_no_descriptors_are_left_is_asked_for_again(
    client: Client, clips: Clips, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    media = make_clip(clips, "h264.mp4")
    monkeypatch.setattr(registry.Child, "spawn", fail)
    response = client.get(address(media))
    assert (response.status_code, response["Retry-After"]) == (503, "5")


def test_an_ffmpeg_that_says_nothing_is_given_up(client: Client, clips: Clips, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transcode.argv.progressive", lambda *args, **kwargs: ["sleep", "60"])
    monkeypatch.setattr(registry, "FIRST_BYTE", 0.3)
    response = client.get(address(make_clip(clips, "silent.mp4")))
    assert response.status_code == 503
    assert response["Retry-After"] == "5"


def test_an_ffmpeg_that_fails_half_way_cuts_the_stream(
    client: Client, clips: Clips, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An end as if all had come would make the player show the beginning for the whole."""
    script = "echo some bytes; sleep 0.2; exit 3"
    monkeypatch.setattr("transcode.argv.progressive", lambda *args, **kwargs: ["sh", "-c", script])
    response = client.get(address(make_clip(clips, "silent.mp4")))
    with pytest.raises(StreamCut, match="sh ended with 3"):
        list(response)


def test_an_ffmpeg_that_falls_silent_is_ended(client: Client, clips: Clips, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transcode.argv.progressive", lambda *args, **kwargs: ["sh", "-c", "echo some bytes; sleep 60"])
    monkeypatch.setattr(bodies, "SILENT", 0.3)
    response = client.get(address(make_clip(clips, "silent.mp4")))
    with pytest.raises(StreamCut, match="sh gave nothing"):
        list(response)
    response.close()


@pytest.mark.parametrize("state", [State.PENDING, State.FAILED])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_an_item_that_is_not_ready_is_409(client: Client, state: str, method: str) -> None:
    media = make_media(state=state, reason="The probe is out of order." if state == State.FAILED else "")
    response = client.generic(method, address(media))
    assert response.status_code == 409
    if method == "GET":
        assert response.json()["error"] == "not_ready"
        assert (media.reason or "has not been probed") in response.json()["detail"]


def test_an_unknown_item_is_404(client: Client) -> None:
    assert client.get(f"/media/{uuid.uuid4()}/stream.mp4").status_code == 404


@pytest.mark.parametrize(
    ("visibility", "expected"), [("public", "public, max-age=0"), ("members", "private, no-cache")]
)
def test_cache_control(clips: Clips, visibility: str, expected: str) -> None:
    media = make_clip(clips, "silent.mp4", visibility=visibility)
    assert client_of(make_visitor("superuser")).head(address(media))["Cache-Control"] == expected


def test_a_server_that_stops_cuts_the_stream(client: Client, clips: Clips) -> None:
    response = client.get(address(make_clip(clips, "h264.mp4")))
    chunks = iter(response)
    assert next(chunks)

    async def stop() -> None:
        drain.begin()

    homeloop.call(stop(), 5)
    with pytest.raises(StreamCut, match="stopping"):
        list(chunks)


def test_every_profile_is_taken(client: Client, clips: Clips) -> None:
    media = make_clip(clips, "silent.mp4")
    assert {client.head(address(media, f"?profile={name}")).status_code for name in PROFILES} == {200}


@pytest.mark.django_db(transaction=True)
async def test_on_a_native_loop(clips: Clips) -> None:
    """The body is pulled on this loop while its FFmpeg belongs to the home loop."""
    media = await sync_to_async(make_clip)(clips, "silent.mp4")
    response = await AsyncClient().get(address(media, "?profile=360p"))
    content = b"".join([chunk async for chunk in response])
    response.close()
    assert content[4:8] == b"ftyp"

"""HLS by its addresses, with real FFmpegs: complete playlists, segments that fit, no FFmpeg left behind."""

import errno
import io
import json
import os
import re
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import av
import psutil
import pytest
from django.conf import LazySettings
from django.test import Client

from mediastream import homeloop, process
from tests.exhaustion import open_descriptors
from tests.media import Clips
from tests.media_library.conftest import client_of, collect_static, make_clip, make_visitor
from tests.system.harness import wait_until
from tests.transcode.assembled import VIEWER, addresses, fetch, init_address, largest_gap, playlist, timeline
from tests.transcode.conftest import forget
from transcode import cache, hls, hls_views, registry, sessions
from transcode.session import AHEAD

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("fresh_hls")]


@pytest.fixture
def either_ffmpeg(ffmpeg_executable: str, settings: LazySettings) -> None:
    settings.FFMPEG = ffmpeg_executable


@pytest.mark.parametrize(
    ("clip", "name", "samples"),
    [
        ("yuv444.mp4", "video-360p", 250),
        ("yuv444.mp4", "audio-1-copy", 469),
        ("mpeg4.avi", "video-360p", 250),
        ("mpeg4.avi", "audio-1-aac", 469),
        ("h264.mp4", "video-copy", 250),
        ("h264.mkv", "video-copy", 250),
        ("h264.mkv", "audio-1-aac", 469),
        ("bframes.mp4", "video-copy", 250),
    ],
)
def test_segments_of_many_runs_fit_together(
    client: Client, clips: Clips, settings: LazySettings, tmp_path: Path, either_ffmpeg: None,
    clip: str, name: str, samples: int,
) -> None:  # fmt: skip
    """Each segment with an empty cache, so that every one is from a run of its own."""
    base = f"/media/{make_clip(clips, clip).pk}/hls/"
    init, segments = playlist(client, base, name)
    assert len(segments) >= 2
    made = {}
    for number, address in enumerate(segments):
        homeloop.call(hls.close_all(), 20)
        settings.TRANSCODE_CACHE = tmp_path / f"cache{number}"
        forget()
        made[number] = fetch(client, address)
    found = timeline(init, [made[number] for number in sorted(made)])
    assert len(found) == pytest.approx(samples, abs=2)
    assert found[0].shown == pytest.approx(0, abs=0.01)  # AC-3 begins 5 ms before the rest
    assert largest_gap(found) < 0.002
    assert all(timeline(init, [made[number]])[0].sync for number in made)
    with av.open(io.BytesIO(init + b"".join(made[number] for number in sorted(made)))) as container:
        assert sum(1 for _ in container.decode(container.streams[0])) >= samples - 2  # type: ignore[union-attr,misc]


def ffmpegs() -> list[psutil.Process]:
    found = []
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if any("m4s" in word or "empty_moov" in word for word in child.cmdline()):
                found.append(child)
    return found


def until(condition: Callable[[], object], what: str) -> None:
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < 30, what
        time.sleep(0.02)


@pytest.fixture
def long_base(clips: Clips) -> str:
    """Ten minutes that have to be encoded: nothing of it is over within a test."""
    return f"/media/{make_clip(clips, 'long444.mp4').pk}/hls/"


def test_it_reads_ahead_by_a_few_segments_and_goes_on_when_they_are_asked_for(client: Client, long_base: str) -> None:
    _, segments = playlist(client, long_base, "video-360p")
    [session] = next(iter(hls.sessions()._open.values()))
    until(lambda: session.next > AHEAD, "the read-ahead")
    time.sleep(0.5)
    assert session.next == AHEAD + 1
    assert len(ffmpegs()) == 1
    for number in range(AHEAD + 3):
        fetch(client, segments[number])
    assert session.next > AHEAD + 1
    assert len(ffmpegs()) == 1


def test_many_viewers_have_one_encoder(client: Client, long_base: str) -> None:
    _, segments = playlist(client, long_base, "video-360p")
    with ThreadPoolExecutor(12) as pool:
        addresses = [segments[0].replace(VIEWER, f"viewer{number:08}") for number in range(30)]
        found = list(pool.map(lambda address: fetch(Client(), address), addresses))
    assert len(set(found)) == 1
    assert hls.sessions().running == 1
    assert registry.running() == 1
    [session] = next(iter(hls.sessions()._open.values()))
    assert len(session.viewers) == 31


def test_a_seek_leaves_the_encoder_it_had_and_others_keep_theirs(client: Client, long_base: str) -> None:
    _, segments = playlist(client, long_base, "video-360p")
    fetch(client, segments[0])
    fetch(client, segments[100])
    assert hls.sessions().running == len(ffmpegs()) == 1
    fetch(client, segments[50].replace(VIEWER, "another000000000"))
    assert hls.sessions().running == len(ffmpegs()) == 2
    fetch(client, segments[10])
    assert hls.sessions().running == len(ffmpegs()) == 2


def test_of_seeks_in_a_burst_the_last_is_served(
    client: Client, long_base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "DEBOUNCE", 0.5)
    _, segments = playlist(client, long_base, "video-360p")
    fetch(client, segments[20])  # at once; what follows waits
    with ThreadPoolExecutor(3) as pool:
        dropped = pool.submit(fetch, Client(), segments[60], 503)
        until(lambda: aimed_at() == 60, "the first of two seeks")
        until(lambda: not hls.sessions().running, "what a seek leaves to end while the next waits")
        made = [pool.submit(fetch, Client(), segments[100])]
        until(lambda: aimed_at() == 100, "the second of two seeks")
        made.append(pool.submit(fetch, Client(), segments[101]))  # some ask for two at once, in their order
        assert b"another part" in dropped.result()
        assert all(one.result()[4:8] == b"moof" for one in made)
    [session] = next(iter(hls.sessions()._open.values()))
    assert session.first == 100
    with ThreadPoolExecutor(1) as pool:
        given_up = pool.submit(fetch, Client(), segments[200], 503)
        until(lambda: aimed_at() == 200, "a seek that waits")
        assert client.post(f"{long_base}leave?viewer={VIEWER}").status_code == 204
        given_up.result()
    assert not hls.sessions().running
    assert not ffmpegs()


def aimed_at() -> int | None:
    aim = hls.sessions()._watching[VIEWER, "video"].aim
    return aim and aim.number


def test_a_change_of_rendition_begins_where_the_player_is(client: Client, clips: Clips) -> None:
    base = f"/media/{make_clip(clips, 'long.mp4').pk}/hls/"
    fetch(client, f"{base}video-copy/100.m4s?viewer={VIEWER}")
    fetch(client, f"{base}video-360p/init.mp4?viewer={VIEWER}")
    [(session,)] = hls.sessions()._open.values()
    assert session.work.name == "video-360p"
    assert session.work.layout.starts[session.first] == pytest.approx(200, abs=2)


def test_who_leaves_drops_itself_alone(client: Client, long_base: str) -> None:
    _, segments = playlist(client, long_base, "video-360p")
    fetch(client, segments[0].replace(VIEWER, "another000000000"))
    leaving = f"{long_base}leave"
    assert client.post(leaving, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert client.post(f"{leaving}?viewer={VIEWER}").status_code == 204
    assert hls.sessions().running == 1
    assert client.post(f"{leaving}?viewer=nobody0000000000").status_code == 204
    assert hls.sessions().running == 1
    assert client.post(f"{leaving}?viewer=another000000000").status_code == 204
    until(lambda: not ffmpegs() and not registry.running(), "the last FFmpeg to go")


def test_a_beacon_needs_no_token(long_base: str) -> None:
    strict = Client(enforce_csrf_checks=True)
    assert strict.post(f"{long_base}leave?viewer={VIEWER}").status_code == 204


def test_past_the_limit_it_is_503_with_retry_after(client: Client, long_base: str, settings: LazySettings) -> None:
    settings.TRANSCODES = 1
    _, segments = playlist(client, long_base, "video-360p")
    response = client.get(segments[90].replace(VIEWER, "another000000000"))
    assert response.status_code == 503
    assert response["Retry-After"] == "5"
    fetch(client, segments[90])
    assert registry.running() == 1


def test_an_ffmpeg_killed_from_outside_is_started_again(client: Client, long_base: str) -> None:
    _, segments = playlist(client, long_base, "video-360p")
    [child] = ffmpegs()
    os.kill(child.pid, signal.SIGKILL)
    made = [fetch(client, segments[number]) for number in range(AHEAD + 4)]
    assert len(made) == AHEAD + 4
    assert hls.sessions().running == 1


def test_what_cannot_be_encoded_is_said(client: Client, clips: Clips) -> None:
    media = make_clip(clips, "mpeg4.avi")
    Path(media.file.path).write_bytes(b"RIFF" + b"\0" * 100)
    answer = json.loads(fetch(client, f"/media/{media.pk}/hls/video-360p/0.m4s", 500))
    assert answer["error"] == "transcode_failed"
    assert str(media.path) not in answer["detail"]


def test_a_full_disk_is_507(client: Client, clips: Clips, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(cache, "_write", full)
    base = f"/media/{make_clip(clips, 'silent.mp4').pk}/hls/"
    assert json.loads(fetch(client, f"{base}video-copy/0.m4s", 507))["error"] == "disk_full"


def test_a_made_segment_is_a_plain_file_with_ranges(client: Client, clips: Clips) -> None:
    address = f"/media/{make_clip(clips, 'h264.mp4').pk}/hls/video-copy/0.m4s?viewer={VIEWER}"
    whole = fetch(client, address)
    response = client.get(address, headers={"Range": "bytes=4-7"})
    assert (response.status_code, b"".join(response)) == (206, b"moof")
    assert response["Content-Range"] == f"bytes 4-7/{len(whole)}"
    response.close()
    assert whole == fetch(client, address)


def test_head_starts_nothing(client: Client, clips: Clips) -> None:
    base = f"/media/{make_clip(clips, 'yuv444.mp4').pk}/hls/"
    for name in ("master.m3u8", "video-360p/index.m3u8", "video-360p/0.m4s", "video-360p/init.mp4"):
        assert client.head(base + name).status_code == 200
    assert hls.sessions().running == 0


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("video-copy/9.m4s", 404), ("video-copy/00.m4s", 404), ("video-9999p/0.m4s", 404), ("audio-0-aac/0.m4s", 404),
        ("audio-1-aac/-1.m4s", 404), ("audio-7-aac/index.m3u8", 404), ("master.m3u8?viewer=a", 400),
        ("master.m3u8?plays=x", 400), ("subtitles-0/index.m3u8", 404), ("../subtitles/9.vtt", 404),
    ],
)  # fmt: skip
def test_what_there_is_not(client: Client, clips: Clips, name: str, status: int) -> None:
    fetch(client, f"/media/{make_clip(clips, 'h264.mp4').pk}/hls/{name}".replace("/hls/../", "/"), status)


def test_the_master_offers_what_the_player_can_have(client: Client, clips: Clips, either_ffmpeg: None) -> None:
    media = make_clip(clips, "subtitled.mkv")
    base = f"/media/{media.pk}/"
    text = fetch(client, f"{base}hls/master.m3u8").decode()
    assert [address.partition("?")[0] for address in addresses(text)] == ["video-copy/index.m3u8"]
    assert "audio-1-aac/index.m3u8" in text
    text = fetch(client, f"{base}hls/master.m3u8?plays=aac").decode()
    assert [address.partition("?")[0] for address in addresses(text)] == ["video-360p/index.m3u8"]
    said = fetch(client, f"{base}subtitles/2.vtt").decode()
    assert said.startswith("WEBVTT")
    # From the file's own start, which is AC-3's, 5 ms before all else.
    assert "00:00.50" in said
    assert "\nHello there" in said
    assert "../../subtitles/2.vtt" in fetch(client, f"{base}hls/subtitles-2/index.m3u8").decode()
    found = json.loads(fetch(client, f"{base}playback.json"))
    assert not found["native"]
    assert "sound: encode, AC-3, which this browser does not play" in found["reasons"]


def test_a_ticket_in_the_query_is_repeated_in_every_address(clips: Clips) -> None:
    collect_static()
    owner = make_visitor("owner")
    media = make_clip(clips, "silent.mp4", visibility="private", owner=owner)
    page = client_of(owner).get(f"/watch/{media.pk}/").content.decode()
    ticket = re.findall(r"ticket=([\w:]+)", page)[0]
    base, nobody = f"/media/{media.pk}/hls/", Client()
    fetch(nobody, f"{base}master.m3u8", 401)
    [variant] = addresses(fetch(nobody, f"{base}master.m3u8?ticket={ticket}").decode())
    text = fetch(nobody, base + variant).decode()
    folder = base + variant.partition("/")[0] + "/"
    nobody.cookies.clear()
    assert fetch(nobody, folder + init_address(text))[4:8] == b"ftyp"
    assert fetch(nobody, folder + addresses(text)[0])[4:8] == b"moof"
    fetch(nobody, folder + "0.m4s", 401)


def test_only_text_subtitles_are_served(client: Client, clips: Clips) -> None:
    fetch(client, f"/media/{make_clip(clips, 'subtitled.mkv').pk}/subtitles/1.vtt", 404)


def test_what_is_given_up_before_it_was_sent_is_sent(
    client: Client, clips: Clips, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A small cache is full of others' segments by the time that the right was asked for again."""
    media = make_clip(clips, "h264.mp4")
    _, segments = playlist(client, f"/media/{media.pk}/hls/", "video-copy")
    homeloop.call(hls.close_all(), 20)
    wait_until(lambda: not process.running(), 20, "no FFmpeg")
    before, right_to, store = open_descriptors(), hls_views.right_to, hls.store()
    gone: list[str] = []

    async def emptied() -> None:
        all_there = list(store._sizes)
        gone.extend(all_there)
        await store._delete(all_there)

    async def asked(*arguments: Any) -> Any:
        if any(key.endswith("/0.m4s") for key in store._sizes):
            await homeloop.run(emptied())
        return await right_to(*arguments)

    monkeypatch.setattr(hls_views, "right_to", asked)
    assert fetch(client, segments[0])[4:8] == b"moof"
    assert gone
    homeloop.call(hls.close_all(), 20)
    wait_until(lambda: open_descriptors() == before, 20, "the end of its FFmpeg")


def test_an_init_segment_that_was_given_up_is_there_again_while_its_session_lives(
    client: Client, clips: Clips, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session tells it once, at its beginning, and is waited for by whoever comes later."""
    monkeypatch.setattr("transcode.session.PATIENCE", 3.0)
    base = f"/media/{make_clip(clips, 'long.mp4').pk}/hls/"
    init, segments = playlist(client, base, "video-copy")
    fetch(client, segments[0])
    store = hls.store()
    [key] = [key for key in store._sizes if key.endswith("/init.mp4")]
    homeloop.call(store._delete([key]), 20)
    assert hls.sessions().running == 1
    text = fetch(client, f"{base}video-copy/index.m3u8?viewer={VIEWER}").decode()
    assert fetch(client, f"{base}video-copy/{init_address(text)}") == init
    assert hls.sessions().running == 1

"""Hardware that fails, and software that takes over, with real FFmpegs. The hardware is libx264 under another row of
the table; what a driver would do to it comes from a script around FFmpeg."""

import asyncio
import base64
import io
import shlex
from dataclasses import replace
from pathlib import Path

import av
import pytest
from asgiref.sync import sync_to_async
from django.conf import LazySettings
from django.test import AsyncClient, Client

from mediastream.errors import Busy, TranscodeFailed
from tests.browser import chromium
from tests.media import BUNDLED, Clips
from tests.media_library.conftest import client_of, collect_static, make_clip, make_visitor
from tests.transcode.assembled import fetch, largest_gap, playlist, timeline
from transcode import fallback, hardware, hls, session
from transcode.encoders import BY_NAME, SOFTWARE, Encoder
from transcode.registry import Silent

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("fresh_hls")]
# Its pictures are of another kind than those of software, and are decoded by its own description alone.
CARD = replace(
    BY_NAME["nvenc"], codec="libx264", options=(("preset", "ultrafast"), ("profile:v", "baseline"), ("forced-idr", 1))
)
NONE = replace(CARD, codec="h264_none")


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Encoder:
    monkeypatch.setattr(hardware, "_chosen", CARD)
    return CARD


@pytest.fixture
def broken(tmp_path: Path, settings: LazySettings) -> Path:
    """A script around FFmpeg; what the card is asked for goes through the script's own end."""
    settings.FFMPEG = str(tmp_path / "ffmpeg")
    return tmp_path / "ffmpeg"


def breaks(script: Path, how: str) -> None:
    words = shlex.quote(BUNDLED) + ' "$@"'
    script.write_text(f'#!/bin/bash\ncase "$*" in *baseline*) {how.format(words)};; *) exec {words};; esac\n')
    script.chmod(0o755)


def decoded(data: bytes) -> int:
    """Pictures; raises if one is broken."""
    with av.open(io.BytesIO(data)) as container:
        container.streams.video[0].codec_context.options = {"err_detect": "explode"}
        return sum(1 for _ in container.decode(video=0))


def described(init: bytes) -> int:
    """The profile in avcC (ISO 14496-15 section 5.3.3.1.2): 66 is baseline, 100 high."""
    return init[init.index(b"avcC") + 5]


# Plays what is appended from the beginning of its last part: when that is over, or by what it failed.
PLAY = """async (parts) => {
  const video = document.querySelector("video"), source = new MediaSource();
  video.src = URL.createObjectURL(source);
  await new Promise((done) => source.addEventListener("sourceopen", done, { once: true }));
  const buffer = source.addSourceBuffer('video/mp4; codecs="avc1.640028"');
  for (const part of parts) {
    buffer.appendBuffer(Uint8Array.from(atob(part), (letter) => letter.charCodeAt(0)));
    await new Promise((done) => buffer.addEventListener("updateend", done, { once: true }));
  }
  source.endOfStream();
  await video.play();
  while (video.currentTime < 0.2) await new Promise((done) => setTimeout(done, 20));
  video.currentTime = video.buffered.start(video.buffered.length - 1);
  return new Promise((done) => {
    video.addEventListener("ended", () => done(""));
    video.addEventListener("error", () => done(video.error.message));
  });
}"""


@pytest.mark.browser
def test_parts_by_hardware_and_by_software_are_one_film(client: Client, clips: Clips, card: Encoder) -> None:
    """A seek finds no session of the card left; the player has the card's init segment all the same."""
    media = make_clip(clips, "long444.mp4")
    init, addresses = playlist(client, f"/media/{media.pk}/hls/", "video-360p")
    first = fetch(client, addresses[0])
    fallback.rest(str(media.pk), card, "no session is left")
    second = fetch(client, addresses[50])
    assert described(init) == 66
    assert b"cabac=1" in second  # by x264's own words, which the card's pictures have with a 0
    assert b"cabac=1" not in first
    assert decoded(init + first + second) == len(timeline(init, [first, second])) == 100
    with chromium() as browser:
        page = browser.new_page()
        page.set_content("<video muted></video>")
        assert page.evaluate(PLAY, [base64.b64encode(part).decode() for part in (init, first, second)]) == ""


BREAKING = [
    # At once; after a second of pictures; by its own crash, again and again.
    "echo '[error] no session is left' >&2; exit 1",
    "{} | head -c 60000; echo '[error] the device is lost' >&2; exit 1",
    "kill -SEGV $$",
]


@pytest.mark.parametrize("how", BREAKING)
def test_software_takes_over_where_hardware_stops(
    client: Client, clips: Clips, card: Encoder, broken: Path, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    breaks(broken, how)
    media = make_clip(clips, "yuv444.mp4")
    init, addresses = playlist(client, f"/media/{media.pk}/hls/", "video-360p")
    parts = [fetch(client, address) for address in addresses]
    found = timeline(init, parts)
    assert len(found) == decoded(init + b"".join(parts)) == 250
    assert largest_gap(found) < 0.002
    assert sum("nvenc failed for item" in record.getMessage() for record in caplog.records) == 1
    assert hls.sessions().running == 0
    collect_static()
    page = client_of(make_visitor("superuser")).get("/admin/jobs/job/").content.decode()
    assert "nvenc failed" in page
    assert "software took over" in page


def test_hardware_that_hangs_is_left(
    client: Client, clips: Clips, card: Encoder, broken: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    breaks(broken, "exec sleep 60")
    monkeypatch.setattr(session, "SILENT", 1.0)
    init, addresses = playlist(client, f"/media/{make_clip(clips, 'yuv444.mp4').pk}/hls/", "video-360p")
    assert decoded(init + fetch(client, addresses[0])) > 0


def test_hardware_that_sets_no_keyframe_where_it_is_told_is_left(
    client: Client, clips: Clips, card: Encoder, broken: Path
) -> None:
    """Its segments could not be sought, nor begun with."""
    words = 'a=("$@"); for i in "${!a[@]}"; do [ "${a[i]}" = -force_key_frames ] && a[i+1]=0; done; exec'
    breaks(broken, words.replace("{", "{{").replace("}", "}}") + f' {shlex.quote(BUNDLED)} "${{{{a[@]}}}}"')
    init, addresses = playlist(client, f"/media/{make_clip(clips, 'yuv444.mp4').pk}/hls/", "video-360p")
    parts = [fetch(client, address) for address in addresses]
    assert described(init) == 66
    assert decoded(init + b"".join(parts)) == 250
    assert all(timeline(init, [part])[0].sync for part in parts)
    assert (last := fallback.last()) is not None
    assert "no keyframe" in last.why


def test_sound_and_copies_are_no_matter_of_hardware(client: Client, clips: Clips, card: Encoder, broken: Path) -> None:
    breaks(broken, "exit 1")
    base = f"/media/{make_clip(clips, 'h264.mkv').pk}/hls/"
    for name in ("video-copy", "audio-1-aac"):
        _, addresses = playlist(client, base, name)
        fetch(client, addresses[0])
    assert fallback.last() is None


async def test_a_stream_that_hardware_cannot_begin_comes_from_software(
    clips: Clips, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(hardware, "_chosen", NONE)
    media = await sync_to_async(make_clip)(clips, "silent.mp4")
    answer = await AsyncClient().get(f"/media/{media.pk}/stream.mp4?profile=360p")
    assert answer.status_code == 200
    assert next(iter(answer))[4:8] == b"ftyp"
    answer.close()
    assert any("software encodes" in record.getMessage() for record in caplog.records)


async def tried(item: str, fault: Exception, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """By whom it was tried to encode."""
    monkeypatch.setattr(hardware, "_chosen", CARD)
    by = []

    async def work(encoder: Encoder) -> None:
        by.append(encoder.name)
        if encoder is CARD:
            raise fault

    await fallback.encoded(item, work, (TranscodeFailed, Silent))
    return by


async def test_an_item_that_failed_rests_and_others_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    for item, by in (("a", ["nvenc", "software"]), ("a", ["software"]), ("b", ["nvenc", "software"])):
        assert await tried(item, TranscodeFailed("too large"), monkeypatch) == by
    monkeypatch.setattr(fallback, "REST", -1.0)
    for _ in range(2):
        assert await tried("c", Silent("nothing", 1), monkeypatch) == ["nvenc", "software"]
    assert (last := fallback.last()) is not None
    assert (last.encoder, last.why, last.count) == ("nvenc", "nothing", 4)


async def test_what_is_no_fault_of_the_encoder_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    for fault in (Busy("All places are taken.", 5), asyncio.CancelledError()):
        with pytest.raises(type(fault)):
            await tried("d", fault, monkeypatch)  # type: ignore[arg-type]
    assert fallback.last() is None
    assert fallback.encoder_of("d") is CARD


async def test_how_many_rest_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "_chosen", CARD)
    monkeypatch.setattr(fallback, "MOST", 2)
    for item in "abc":
        fallback.rest(item, CARD, "too large")
    assert [fallback.encoder_of(item) for item in "abc"] == [CARD, SOFTWARE, SOFTWARE]

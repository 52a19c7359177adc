"""Facts live in JSON beside code that changes: they must survive the round trip and fields of other versions."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media_library.facts import Facts, StreamFacts, browser_type
from media_library.probe import probe
from mediastream.errors import NotMedia
from tests.media import Clips

H264 = StreamFacts("video", "h264", "avc1.64001f", "High", "yuv420p", 1920, 1080, 25.0)
AAC = StreamFacts("audio", "aac", "mp4a.40.2", "LC", rate=48000, channels=2)
COVER = StreamFacts("picture", "mjpeg")
SUBTITLE = StreamFacts("subtitle", "subrip", language="deu")

streams = st.builds(
    StreamFacts,
    kind=st.sampled_from(["video", "audio", "subtitle", "picture", "data"]),
    codec=st.text(),
    codec_string=st.text(),
    profile=st.text(),
    pixel_format=st.text(),
    width=st.none() | st.integers(),
    height=st.none() | st.integers(),
    rate=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    channels=st.none() | st.integers(),
    language=st.text(),
    rotation=st.integers(0, 359),
)


@given(container=st.text(), content_type=st.text(), duration=st.none() | st.floats(0, 1e9), found=st.lists(streams))
def test_facts_survive_json(
    container: str, content_type: str, duration: float | None, found: list[StreamFacts]
) -> None:
    facts = Facts(container, content_type, duration, tuple(found))
    stored = {
        "container": container,
        "content_type": content_type,
        "duration": duration,
        "streams": facts.streams_json(),
    }
    assert Facts.from_json(json.loads(json.dumps(stored))) == facts


def test_a_row_of_another_version_can_be_read() -> None:
    """Unknown fields are left out, missing ones have their defaults."""
    assert StreamFacts.from_json({"kind": "audio", "codec": "aac", "loudness": -23}) == StreamFacts("audio", "aac")


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"container": "mov", "content_type": "video/mp4", "streams": []},
        {"container": "mov", "content_type": "video/mp4", "duration": 1.0},
        {"container": "mov", "content_type": "video/mp4", "duration": 1.0, "streams": [{"kind": "video"}]},
        {"container": "mov", "content_type": "video/mp4", "duration": 1.0, "streams": None},
    ],
)
def test_what_the_probe_would_not_say_is_an_error(values: dict[str, object]) -> None:
    with pytest.raises((KeyError, TypeError)):
        Facts.from_json(values)


@pytest.mark.parametrize(
    ("kind", "index"), [("picture", 0), ("video", 1), ("audio", 2), ("subtitle", 4), ("data", None)]
)
def test_the_first_of_a_kind_by_its_index_in_the_file(kind: str, index: int | None) -> None:
    facts = Facts("matroska", "video/x-matroska", 1.0, (COVER, H264, AAC, AAC, SUBTITLE))
    assert facts.first(kind) == index


@pytest.mark.parametrize(
    ("content_type", "found", "expected"),
    [
        ("video/mp4", [H264, AAC], 'video/mp4; codecs="avc1.64001f, mp4a.40.2"'),
        ("audio/mp4", [AAC], 'audio/mp4; codecs="mp4a.40.2"'),
        ("video/mp4", [COVER, H264, SUBTITLE], 'video/mp4; codecs="avc1.64001f"'),
        ("video/mp4", [StreamFacts("video", "h264", "avc1.f4001f", pixel_format="yuv444p"), AAC], ""),
        ("video/mp4", [StreamFacts("video", "h264", "avc1.6e001f", pixel_format="yuv420p10le")], ""),
        ("video/mp4", [StreamFacts("video", "h264", "avc1.4d001f", pixel_format="yuvj420p")],
         'video/mp4; codecs="avc1.4d001f"'),
        ("video/x-msvideo", [StreamFacts("video", "mpeg4", "", pixel_format="yuv420p"), AAC], ""),
        ("video/mp4", [H264, StreamFacts("audio", "dts")], ""),
    ],
)  # fmt: skip
def test_what_a_player_is_asked(content_type: str, found: list[StreamFacts], expected: str) -> None:
    assert browser_type(content_type, found) == expected


@pytest.mark.parametrize(
    ("clip", "content_type", "duration", "kinds", "codecs", "playable"),
    [
        ("h264.mp4", "video/mp4", 10.0, ["video", "audio"], ["h264", "aac"], True),
        ("silent.mp4", "video/mp4", 3.0, ["video"], ["h264"], True),
        ("odd.mp4", "video/mp4", 2.0, ["video"], ["h264"], True),
        ("yuv444.mp4", "video/mp4", 10.0, ["video", "audio"], ["h264", "aac"], False),
        ("mpeg4.avi", "video/x-msvideo", 10.0, ["video", "audio"], ["mpeg4", "mp3"], False),
        ("vp8.webm", "video/webm", 3.0, ["video", "audio"], ["vp8", "opus"], True),
        ("sound.mp3", "audio/mpeg", 3.0, ["audio"], ["mp3"], True),
    ],
)
async def test_the_probe_finds_what_was_made(
    clips: Clips, clip: str, content_type: str, duration: float, kinds: list[str], codecs: list[str], playable: bool
) -> None:
    facts = await probe(clips[clip])
    assert facts.content_type == content_type
    assert facts.duration == pytest.approx(duration, abs=0.15)
    assert [stream.kind for stream in facts.streams] == kinds
    assert [stream.codec for stream in facts.streams] == codecs
    assert bool(browser_type(facts.content_type, list(facts.streams))) == playable


async def test_the_probe_tells_sizes_and_rates(clips: Clips) -> None:
    video, audio = (await probe(clips["h264.mp4"])).streams
    assert (video.width, video.height, video.rate, video.pixel_format, video.rotation) == (320, 180, 25.0, "yuv420p", 0)
    assert video.codec_string.startswith("avc1.")
    assert len(video.codec_string) == len("avc1.64001f")
    assert (audio.channels, audio.rate, audio.codec_string) == (1, 48000, "mp4a.40.2")


@pytest.mark.parametrize("cut", [0.5, 0.95])
async def test_a_film_that_was_cut_off_is_refused(
    clips: Clips, cut: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """It would play to a point and stop, and nobody would know why."""
    path = tmp_path_factory.mktemp("cut") / "cut.mp4"
    whole = clips["h264.mp4"].read_bytes()
    path.write_bytes(whole[: int(len(whole) * cut)])
    with pytest.raises(NotMedia, match="cut off"):
        await probe(path)


@pytest.mark.parametrize(
    "content", [b"", b"text\n" * 1000, b"\0" * 100_000, b"\x7fELF" + b"\1" * 5000, b"<html></html>"]
)
async def test_what_is_no_media_is_refused(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("no-media") / "film.mp4"
    path.write_bytes(content)
    with pytest.raises(NotMedia):
        await probe(path)

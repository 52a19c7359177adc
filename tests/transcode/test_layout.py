"""Where segments begin, for any length and any keyframes; and playlists of them by RFC 8216."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transcode import layout, playlists
from transcode.layout import Layout
from transcode.playlists import Track, Variant


@pytest.mark.parametrize(
    ("found", "starts"),
    [
        (layout.regular(10.0), (0, 2, 4, 6, 8)),
        (layout.regular(6.9), (0, 2, 4)),
        (layout.regular(0.5), (0,)),
        (layout.regular(0.0), (0,)),
        (layout.on_keyframes((0.0, 1.2, 3.04, 5.48, 7.48, 9.68), 10.0), (0, 3.04, 5.48, 7.48)),
        (layout.on_keyframes((0.0, 9.0), 9.4), (0,)),
        (layout.on_keyframes((), 9.5), (0,)),
    ],
)
def test_where_segments_begin(found: Layout, starts: tuple[float, ...]) -> None:
    assert found.starts == starts


@settings(deadline=None)
@given(st.floats(0, 2e4), st.lists(st.floats(0, 2e4), max_size=200))
def test_segments_follow_each_other_to_the_end(end: float, times: list[float]) -> None:
    keyframes = tuple(sorted(round(time, 3) for time in times))
    end = max(end, *keyframes, 0.0)
    for found in (layout.regular(end), layout.packets(end), layout.on_keyframes(keyframes, end)):
        assert found.starts[0] == 0
        assert all(found.duration(number) > 0 for number in range(len(found)))
        assert sum(map(found.duration, range(len(found)))) == pytest.approx(found.end)
        assert all(found.at(start) == number for number, start in enumerate(found.starts))
        check(playlists.media(found, {"viewer": "a&b"}), found)


def check(text: str, found: Layout) -> None:
    lines = text.splitlines()
    assert lines[0] == "#EXTM3U"
    assert lines[-1] == "#EXT-X-ENDLIST"
    target = int(re.findall(r"#EXT-X-TARGETDURATION:(\d+)\n", text)[0])
    durations = [float(duration) for duration in re.findall(r"#EXTINF:([\d.]+),\n", text)]
    assert len(durations) == len(found)
    assert all(round(duration) <= target for duration in durations)
    assert '#EXT-X-MAP:URI="init.mp4?viewer=a%26b"' in lines
    assert f"{len(found) - 1}.m4s?viewer=a%26b" in lines


def test_a_master_playlist() -> None:
    variants = [Variant("video-copy/index.m3u8", 900, ("avc1.64001f", "mp4a.40.2"), 1280, 720, 25.0)]
    sounds = [
        Track("audio-1-copy/index.m3u8", 'a "b"\n', "fre", default=True),
        Track("audio-2-aac/index.m3u8", "b", ""),
    ]
    assert playlists.master(variants, sounds, [Track("subtitles-3/index.m3u8", "c", "eng")], {"viewer": "x"}) == (
        "#EXTM3U\n"
        "#EXT-X-VERSION:7\n"
        "#EXT-X-INDEPENDENT-SEGMENTS\n"
        '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="sound",NAME="a  b  ",LANGUAGE="fre",DEFAULT=YES,AUTOSELECT=YES,'
        'URI="audio-1-copy/index.m3u8?viewer=x"\n'
        '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="sound",NAME="b",DEFAULT=NO,AUTOSELECT=YES,'
        'URI="audio-2-aac/index.m3u8?viewer=x"\n'
        '#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="text",NAME="c",LANGUAGE="eng",DEFAULT=NO,AUTOSELECT=YES,'
        'URI="subtitles-3/index.m3u8?viewer=x"\n'
        '#EXT-X-STREAM-INF:BANDWIDTH=900,CODECS="avc1.64001f,mp4a.40.2",RESOLUTION=1280x720,FRAME-RATE=25.000,'
        'AUDIO="sound",SUBTITLES="text"\n'
        "video-copy/index.m3u8?viewer=x\n"
    )


def test_subtitles_are_one_segment() -> None:
    text = playlists.whole("../../subtitles/3.vtt", 10.2, {})
    assert "#EXT-X-TARGETDURATION:11\n" in text
    assert "#EXTINF:10.200000,\n../../subtitles/3.vtt\n#EXT-X-ENDLIST\n" in text

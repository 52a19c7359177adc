"""How an item reaches a player: a table of files and players, each stream with its reason."""

import pytest

from media_library.facts import Facts, StreamFacts
from transcode.decision import decide
from transcode.player import BROWSER, PLAYERS, SAFARI, Player

EVERYTHING = PLAYERS["everything"]
H264 = StreamFacts("video", "h264", "avc1.64001f", "High", "yuv420p", 1280, 720, 25.0)
AAC = StreamFacts("audio", "aac", "mp4a.40.2", "LC", rate=48000, channels=2)
MP4, MKV, AVI = ("mov,mp4,m4a", "video/mp4"), ("matroska,webm", "video/x-matroska"), ("avi", "video/x-msvideo")


def video(codec: str = "h264", pixels: str = "yuv420p", profile: str = "High", **more: int | float) -> StreamFacts:
    return StreamFacts("video", codec, "", profile, pixels, 1280, 720, **{"rate": 25.0, **more})  # type: ignore[arg-type]


def sound(codec: str, profile: str = "") -> StreamFacts:
    return StreamFacts("audio", codec, "", profile, rate=48000, channels=6)


def text(codec: str) -> StreamFacts:
    return StreamFacts("subtitle", codec)


ROWS: list[tuple[str, tuple[str, str], list[StreamFacts], Player, bool, list[str]]] = [
    ("plain", MP4, [H264, AAC], BROWSER, True, ["video: play", "sound: play"]),
    ("yuv444p", MP4, [video(pixels="yuv444p", profile="High 4:4:4 Predictive"), AAC], BROWSER, False, [
        "video: encode, H.264 High 4:4:4 Predictive, this browser plays 4:2:0 only", "sound: copy"]),
    ("yuv422p", MP4, [video(pixels="yuv422p", profile="High 4:2:2"), AAC], BROWSER, False, [
        "video: encode, H.264 High 4:2:2, this browser plays 4:2:0 only", "sound: copy"]),
    ("yuv444p for a player of everything", MP4, [video(pixels="yuv444p"), AAC], EVERYTHING, True, [
        "video: play", "sound: play"]),
    ("10 bit", MP4, [video(pixels="yuv420p10le", profile="High 10"), AAC], BROWSER, False, [
        "video: encode, H.264 High 10, this browser plays 8 bits only", "sound: copy"]),
    ("HEVC", MP4, [video("hevc", profile="Main"), AAC], BROWSER, False, [
        "video: encode, HEVC, which this browser does not play", "sound: copy"]),
    ("HEVC in Safari", MP4, [video("hevc", profile="Main"), AAC], SAFARI, True, ["video: play", "sound: play"]),
    ("HEVC 10 bit in MKV, Safari", MKV, [video("hevc", "yuv420p10le", "Main 10"), AAC], SAFARI, False, [
        "container: matroska, which Safari does not open", "video: copy", "sound: copy"]),
    ("HEVC 10 bit for one that has 8", MP4, [video("hevc", "yuv420p10le", "Main 10")],
        Player("this browser", BROWSER.plays | {"hevc"}), False, [
        "video: encode, HEVC Main 10, this browser plays 8 bits only"]),
    ("AC-3", MP4, [H264, sound("ac3")], BROWSER, False, [
        "video: copy", "sound: encode, AC-3, which this browser does not play"]),
    ("AC-3 in Safari", MP4, [H264, sound("ac3")], SAFARI, True, ["video: play", "sound: play"]),
    ("turned, played", MP4, [video(rotation=90), AAC], BROWSER, True, ["video: play", "sound: play"]),
    ("turned, in MKV", MKV, [video(rotation=90), AAC], BROWSER, False, [
        "container: matroska, which this browser does not open",
        "video: encode, turned by 90°, which players of HLS pass over", "sound: copy"]),
    ("variable rate", MKV, [video(rate=23.71), AAC], BROWSER, False, [
        "container: matroska, which this browser does not open", "video: copy", "sound: copy"]),
    ("several audio", MP4, [H264, AAC, sound("ac3")], BROWSER, False, [
        "container: a file plays only the first of its 2 sound tracks", "video: copy", "sound: copy",
        "sound: encode, AC-3, which this browser does not play"]),
    ("no audio", MP4, [H264], BROWSER, True, ["video: play"]),
    ("audio only", ("mp3", "audio/mpeg"), [sound("mp3")], BROWSER, True, ["sound: play"]),
    ("audio only, AC-3", ("ac3", "audio/ac3"), [sound("ac3")], BROWSER, False, [
        "container: ac3, which this browser does not open",
        "sound: encode, AC-3, which this browser does not play"]),
    ("HE-AAC in MKV", MKV, [H264, sound("aac", "HE-AAC")], BROWSER, False, [
        "container: matroska, which this browser does not open", "video: copy",
        "sound: encode, AAC HE-AAC is not copied into HLS"]),
    ("AVI", AVI, [H264, sound("mp3")], BROWSER, False, [
        "container: avi, which this browser does not open", "video: encode, avi has no index to cut it by",
        "sound: encode, MP3 is not copied into HLS"]),
    ("text subtitles", MP4, [H264, AAC, text("mov_text")], BROWSER, True, [
        "video: play", "sound: play", "subtitles: encode, mov_text as WebVTT"]),
    ("image subtitles", MKV, [H264, AAC, text("hdmv_pgs_subtitle")], BROWSER, False, [
        "container: matroska, which this browser does not open", "video: copy", "sound: copy",
        "subtitles: leave, hdmv_pgs_subtitle are pictures, which WebVTT does not carry"]),
    ("VP9 in MP4", MP4, [video("vp9"), AAC], Player("this browser", BROWSER.plays - {"vp9"}), False, [
        "video: encode, VP9, which this browser does not play", "sound: copy"]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "container", "streams", "player", "native", "sentences"), ROWS)
def test_how_an_item_reaches_a_player(
    name: str, container: tuple[str, str], streams: list[StreamFacts], player: Player, native: bool,
    sentences: list[str],
) -> None:  # fmt: skip
    found = decide(Facts(*container, 10.0, tuple(streams)), player)
    assert (found.native, found.sentences) == (native, sentences)


def test_image_subtitles_are_not_offered() -> None:
    found = decide(Facts(*MKV, 10.0, (H264, text("dvd_subtitle"), text("subrip"))), BROWSER)
    assert [subtitle.index for subtitle in found.of("subtitle")] == [2]
    assert found.left == ["subtitles: leave, dvd_subtitle are pictures, which WebVTT does not carry"]

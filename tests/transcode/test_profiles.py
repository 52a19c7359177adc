from dataclasses import replace
from pathlib import Path

import pytest

from mediastream.environment import PROFILES as NAMES
from mediastream.environment import EnvironmentInvalid, read
from transcode import argv
from transcode.encoders import BY_NAME
from transcode.jobs import commands
from transcode.profiles import BUILT_IN, FILE, PROFILES, Profile, table


def environment(data_dir: Path, profiles: str) -> dict[str, str]:
    return {"MEDIASTREAM_DATA_DIR": str(data_dir), "MEDIASTREAM_PROFILES": profiles}


def test_the_names_that_can_be_set_are_those_there_are() -> None:
    assert tuple(profile.name for profile in BUILT_IN) == NAMES
    assert table(BUILT_IN, {}) == {**PROFILES, "file": FILE}


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        ("720p=2500k", "720p", Profile("720p", 720, 2_500_000)),
        ("360p=300k, 720p=2500k/superfast", "720p", Profile("720p", 720, 2_500_000, preset="superfast")),
        ("720p=2500k", "1080p", Profile("1080p", 1080, 7_000_000, 192_000)),
        ("720p=faster", "720p", Profile("720p", 720, 3_500_000, preset="faster")),
        ("720p=threads=2/nice=0", "720p", Profile("720p", 720, 3_500_000, threads=2, niceness=0)),
        (
            "file=medium/9000k/nice=19/threads=1",
            "file",
            Profile("file", 0, 9_000_000, 160_000, "medium", threads=1, niceness=19),
        ),
    ],
)
def test_settings_change_numbers(tmp_path: Path, text: str, name: str, expected: Profile) -> None:
    assert table(BUILT_IN, read(environment(tmp_path, text)).profiles)[name] == expected


@pytest.mark.parametrize(
    "text",
    [
        "4k=9000k",
        "720p",
        "720p=2500",
        "720p=0k",
        "720p=2500k/placebo",
        "720p=2500k;rm",
        "x",
        "720p=",
        "720p=k",
        "720p=threads=0",
        "720p=threads=100",
        "720p=nice=20",
        "720p=nice=-1",
        "720p=2500k/3000k",
        "720p=2500k/",
        "=9k",
    ],
)
def test_others_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(EnvironmentInvalid, match="MEDIASTREAM_PROFILES"):
        read(environment(tmp_path, text))


def test_the_preset_is_for_software() -> None:
    wanted = replace(PROFILES["480p"], preset="superfast")
    words = {
        name: argv.progressive("ffmpeg", Path("/m/a"), wanted, 0, video=0, audio=None, encoder=BY_NAME[name])
        for name in ("software", "nvenc")
    }
    assert words["software"][words["software"].index("-preset") + 1] == "superfast"
    assert words["nvenc"][words["nvenc"].index("-preset") + 1] == "p4"


def test_threads_are_for_software_and_niceness_for_all() -> None:
    wanted = replace(FILE, threads=2, niceness=7)
    for encoder in BY_NAME.values():
        words = " ".join(commands.encode("ffmpeg", Path("/m/a"), Path("/m/b"), wanted, 0, [1], (), encoder))
        assert ("-threads:v 2" in words) is (encoder.name == "software")
        assert wanted.limits(encoder) == replace(encoder.limits, niceness=7)


def test_a_kept_file_has_a_quality_and_a_most_if_it_is_set() -> None:
    def encode(profile: Profile, name: str) -> str:
        return " ".join(commands.encode("ffmpeg", Path("/m/a"), Path("/m/b"), profile, 0, [], (), BY_NAME[name]))

    wanted = {"software": "-crf 20", "nvenc": "-cq 21", "qsv": "-global_quality 21", "vaapi": "-qp 21"}
    for name, words in wanted.items():
        assert words in encode(FILE, name)
        assert "-maxrate" not in encode(FILE, name)
        assert ("-vaapi_device" in encode(FILE, name)) is (name == "vaapi")
    assert "-bufsize 8000000" in encode(replace(FILE, video_bitrate=4_000_000), "software")
    assert "-maxrate 4000000" in encode(replace(FILE, video_bitrate=4_000_000), "software")

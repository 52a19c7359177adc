from dataclasses import replace
from pathlib import Path

import pytest

from mediastream.environment import PROFILES as NAMES
from mediastream.environment import EnvironmentInvalid, read
from transcode import argv
from transcode.encoders import BY_NAME
from transcode.profiles import BUILT_IN, PROFILES, Profile, table


def environment(data_dir: Path, profiles: str) -> dict[str, str]:
    return {"MEDIASTREAM_DATA_DIR": str(data_dir), "MEDIASTREAM_PROFILES": profiles}


def test_the_names_that_can_be_set_are_those_there_are() -> None:
    assert tuple(profile.name for profile in BUILT_IN) == NAMES
    assert table(BUILT_IN, {}) == PROFILES


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        ("720p=2500k", "720p", Profile("720p", 720, 2_500_000)),
        ("360p=300k, 720p=2500k/superfast", "720p", Profile("720p", 720, 2_500_000, preset="superfast")),
        ("720p=2500k", "1080p", Profile("1080p", 1080, 7_000_000, 192_000)),
    ],
)
def test_settings_change_numbers(tmp_path: Path, text: str, name: str, expected: Profile) -> None:
    assert table(BUILT_IN, read(environment(tmp_path, text)).profiles)[name] == expected


@pytest.mark.parametrize(
    "text", ["4k=9000k", "720p", "720p=2500", "720p=0k", "720p=2500k/placebo", "720p=2500k;rm", "x"]
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

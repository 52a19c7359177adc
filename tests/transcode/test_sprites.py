import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transcode.sprites import CLOSEST, COLUMNS, EDGE, MOST, ROWS, Layout, clock, layout


@pytest.mark.parametrize(
    ("duration", "size", "rotation", "expected"),
    [
        (15.0, (640, 360), 0, Layout(2.0, 8, 160, 90, 15.0)),
        (0.5, (640, 360), 0, Layout(2.0, 1, 160, 90, 0.5)),
        (600.0, (640, 360), 0, Layout(2.0, 300, 160, 90, 600.0)),
        (7200.0, (1920, 800), 0, Layout(24.0, 300, 160, 66, 7200.0)),
        (15.0, (640, 360), 90, Layout(2.0, 8, 90, 160, 15.0)),
        (15.0, (640, 360), 180, Layout(2.0, 8, 160, 90, 15.0)),
        (15.0, (8192, 2), 0, Layout(2.0, 8, 160, 2, 15.0)),
    ],
)
def test_layouts(duration: float, size: tuple[int, int], rotation: int, expected: Layout) -> None:
    assert layout(duration, *size, rotation) == expected


@pytest.mark.parametrize(
    ("duration", "width"), [(0.0, 640), (-1.0, 640), (float("nan"), 640), (float("inf"), 640), (9.0, 0)]
)
def test_nothing_to_lay_out(duration: float, width: int) -> None:
    with pytest.raises(ValueError, match="no thumbnails"):
        layout(duration, width, 360, 0)


CUE = re.compile(r"(\S+) --> (\S+)\nthumbnails/(\d+)\.jpg#xywh=(\d+),(\d+),(\d+),(\d+)\n?")


@given(st.floats(0.01, 1e6), st.integers(1, 8192), st.integers(1, 8192), st.sampled_from([0, 90, 180, 270]))
def test_every_cue_lies_in_its_sprite_and_follows_the_last(duration: float, width: int, height: int, turn: int) -> None:
    plan = layout(duration, width, height, turn)
    assert 1 <= plan.count <= MOST
    assert plan.interval >= CLOSEST
    assert max(plan.width, plan.height) <= EDGE
    head, *cues = plan.vtt("thumbnails/{}.jpg").split("\n\n")
    assert head == "WEBVTT"
    assert len(cues) == plan.count
    end = "00:00:00.000"
    for cue in cues:
        match = CUE.fullmatch(cue)
        assert match is not None
        assert match[1] == end or plan.count == 1
        end = match[2]
        sprite, x, y, w, h = map(int, match.groups()[2:])
        assert sprite < plan.sprites
        assert x + w <= COLUMNS * plan.width
        assert y + h <= ROWS * plan.height


def test_what_did_not_come_out_is_not_named() -> None:
    plan = layout(600.0, 640, 360, 0)
    assert (plan.sprites, plan.shortened(2).count, plan.shortened(9).count) == (6, 100, 300)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "00:00:00.000"), (59.9996, "00:01:00.000"), (3661.5, "01:01:01.500"), (360000, "100:00:00.000")],
)
def test_times_as_webvtt_writes_them(seconds: float, text: str) -> None:
    assert clock(seconds) == text

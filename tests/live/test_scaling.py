"""Pictures made smaller, once for each size."""

import asyncio
import io

import pytest
from PIL import Image

from mediastream.live import scaling
from mediastream.live.frames import Frame


def picture(width: int, height: int) -> Frame:
    made = io.BytesIO()
    Image.effect_noise((width, height), 60).convert("RGB").save(made, "JPEG")
    return Frame(made.getvalue(), 1.0)


def size(jpeg: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(jpeg)) as opened:
        return opened.size


@pytest.mark.parametrize(("width", "fits"), [(1, 160), (160, 160), (161, 320), (1280, 1280), (1281, None)])
def test_the_size_that_fills_a_tile(width: int, fits: int | None) -> None:
    assert scaling.fitting(width) == fits


@pytest.mark.parametrize(
    ("of", "to", "made"),
    [((1280, 720), 320, (320, 180)), ((320, 240), 320, (320, 240)), ((161, 1000), 160, (160, 993))],
)
async def test_sizes(of: tuple[int, int], to: int, made: tuple[int, int]) -> None:
    assert size(await scaling.scaled(picture(*of), to)) == made


async def test_the_whole_picture_is_the_very_one() -> None:
    frame = picture(1280, 720)
    assert await scaling.scaled(frame, None) is frame.jpeg


async def test_it_is_made_once_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    original = scaling._shrink
    monkeypatch.setattr(scaling, "_shrink", lambda jpeg, width: made.append(width) or original(jpeg, width))
    frame = picture(1280, 720)
    results = await asyncio.gather(*(scaling.scaled(frame, 320) for _ in range(10)))
    assert made == [320]
    assert all(result is results[0] for result in results)


@pytest.mark.parametrize("jpeg", [b"", b"no picture", b"\xff\xd8\xff\xd9"])
async def test_a_broken_picture_is_left_to_the_browser(jpeg: bytes) -> None:
    assert await scaling.scaled(Frame(jpeg, 1.0), 320) == jpeg


async def test_one_cut_short_is_too() -> None:
    whole = picture(1280, 720).jpeg
    assert await scaling.scaled(Frame(whole[:2000], 1.0), 320) == whole[:2000]

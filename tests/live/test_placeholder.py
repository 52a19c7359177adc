"""What is drawn where no picture comes: readable, of the same size, and whatever the last one was."""

import io

import pytest
from PIL import Image, ImageChops

from mediastream.live import jpeg, placeholder
from mediastream.live.placeholder import Placeholder, ago, reconnecting


def picture(width: int = 640, height: int = 360, mode: str = "RGB") -> bytes:
    drawn = io.BytesIO()
    Image.effect_mandelbrot((width, height), (-2, -1, 1, 1), 50).convert(mode).save(drawn, "JPEG")
    return drawn.getvalue()


def opened(data: bytes) -> Image.Image:
    made = Image.open(io.BytesIO(data))
    made.load()
    return made


@pytest.mark.parametrize("size", [(640, 360), (1920, 1080), (160, 120), (96, 64), (33, 17), (240, 1000), (2000, 20)])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_it_has_the_last_picture_s_size(size: tuple[int, int], mode: str) -> None:
    made = opened(Placeholder(picture(*size, mode=mode)).draw(reconnecting(12)))
    assert (made.size, made.mode) == (size, "RGB")


def test_it_is_grey_and_darker() -> None:
    colours = io.BytesIO()
    Image.new("RGB", (640, 360), (250, 60, 60)).save(colours, "JPEG")
    made = opened(Placeholder(colours.getvalue()).draw("x"))
    red, green, blue = made.getpixel((5, 5))  # type: ignore[misc]
    assert max(red, green, blue) - min(red, green, blue) <= 3
    assert red < 60


def test_other_words_are_another_picture_and_stand_within_it() -> None:
    stand_in = Placeholder(picture())
    one, two = (opened(stand_in.draw(reconnecting(seconds))) for seconds in (11, 12))
    changed = (
        ImageChops.difference(one.convert("L"), two.convert("L")).point(lambda value: 255 * (value > 60)).getbbox()
    )
    assert changed is not None
    left, top, right, bottom = changed
    assert 0 < left < right < 640
    assert 360 / 2 < top < bottom < 360 * 0.7, "the second line, below the middle"


def test_the_words_are_white_on_black_and_large() -> None:
    made = opened(Placeholder(picture()).draw(reconnecting(12))).convert("L")
    middle = made.crop((100, 140, 540, 220))
    assert sum(middle.histogram()[230:]) > 1000
    assert sum(middle.histogram()[:30]) > 5000


@pytest.mark.parametrize(
    "broken", [b"", b"\xff\xd8\xff\xd9", picture()[:200], b"no picture", b"\xff\xd8\xff\xda\0\2x\xff\xd9"]
)
def test_a_last_picture_that_cannot_be_used(broken: bytes) -> None:
    assert opened(Placeholder(broken).draw(reconnecting(3))).size == placeholder.SIZE


def test_a_header_that_promises_too_much_is_not_believed() -> None:
    whole = picture()
    at = whole.index(b"\xff\xc0") + 5
    huge = whole[:at] + (60_000).to_bytes(2, "big") * 2 + whole[at + 4 :]
    assert jpeg.size(huge) == (60_000, 60_000)
    assert opened(Placeholder(huge).draw("x")).size == placeholder.SIZE


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-1, "0 s"),
        (0, "0 s"),
        (12.4, "12 s"),
        (119, "119 s"),
        (120, "2 min"),
        (7199, "119 min"),
        (7200, "2 h"),
        (200000, "2 days"),
    ],
)
def test_ages(seconds: float, said: str) -> None:
    assert ago(seconds) == said

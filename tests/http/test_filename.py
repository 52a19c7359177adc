"""Names come from strangers and go into headers, pages and logs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediastream.http.filename import printable


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("holiday.mp4", "holiday.mp4"),
        ("My  film (1).mp4", "My  film (1).mp4"),
        ("quo\"te's.mp4", "quo\"te's.mp4"),
        ("été 🎬.mp4", "été 🎬.mp4"),
        ("a\r\nSet-Cookie: x=1", "aSet-Cookie: x=1"),
        ("nul\x00byte\x1b[31m\x7f.mp4", "nulbyte[31m.mp4"),
        ("../../etc/passwd", "etc passwd"),
        ("C:\\films\\a.mp4", "C: films a.mp4"),
        ("/", "file"),
        ("", "file"),
        ("...", "file"),
        (" . ", "file"),
        (".hidden", "hidden"),
        ("trailing. ", "trailing"),
        # Turns the text behind it around, so that "gpj.exe" reads as "exe.jpg".
        ("a\u202egpj.exe", "agpj.exe"),
        ("line\u2028separator", "lineseparator"),
        ("half\ud800surrogate", "halfsurrogate"),
    ],
)
def test_names(name: str, expected: str) -> None:
    assert printable(name) == expected


@given(st.text(st.characters()))
def test_any_name_becomes_one_printable_name_in_no_folder(name: str) -> None:
    clean = printable(name)
    assert clean
    assert clean.isprintable()
    assert not set(clean) & set("/\\")
    assert clean not in (".", "..")
    assert printable(clean) == clean
    clean.encode()

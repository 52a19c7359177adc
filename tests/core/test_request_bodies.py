"""Who may send how much where, decided before a byte of it is read."""

import re
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediastream.errors import BadInput, BodyTooLarge, DiskFull, Fault, SignInNeeded
from mediastream.request_bodies import COPIES, DISK_RESERVE, FORM_OVERHEAD, SMALL_BODY, Bounds, content_length

MAX = 50 * 1024 * 1024
UPLOAD = "/upload/"


@pytest.fixture
def bounds(tmp_path: Path) -> Bounds:
    return Bounds(MAX, (re.compile(r"/upload/"), re.compile(r"/admin/\d+/change/")), tmp_path)


@pytest.mark.parametrize(
    ("path", "may_upload", "length", "refusal"),
    [
        ("/", False, 0, None),
        ("/", False, SMALL_BODY, None),
        ("/", True, SMALL_BODY, None),
        ("/", False, SMALL_BODY + 1, BodyTooLarge),
        ("/", True, SMALL_BODY + 1, BodyTooLarge),
        (UPLOAD, True, SMALL_BODY + 1, None),
        ("/admin/12/change/", True, MAX, None),
        (UPLOAD, True, MAX + FORM_OVERHEAD, None),
        (UPLOAD, True, MAX + FORM_OVERHEAD + 1, BodyTooLarge),
        (UPLOAD, False, SMALL_BODY, None),
        (UPLOAD, False, SMALL_BODY + 1, SignInNeeded),
        (UPLOAD, False, MAX * 2, SignInNeeded),
        # The whole path must be the address, not a part of it.
        ("/upload/x", True, SMALL_BODY + 1, BodyTooLarge),
        ("/x/upload/", True, SMALL_BODY + 1, BodyTooLarge),
        ("/upload/\n", True, SMALL_BODY + 1, BodyTooLarge),
    ],
)
def test_bounds(bounds: Bounds, path: str, may_upload: bool, length: int, refusal: type[Fault] | None) -> None:
    if refusal is None:
        bounds.check(path, length, may_upload=may_upload)
    else:
        with pytest.raises(refusal):
            bounds.check(path, length, may_upload=may_upload)


def test_the_refusal_names_the_bound(bounds: Bounds) -> None:
    with pytest.raises(BodyTooLarge, match=str(MAX)):
        bounds.check(UPLOAD, 2 * MAX, may_upload=True)
    with pytest.raises(BodyTooLarge, match=str(SMALL_BODY)):
        bounds.check("/", 2 * MAX, may_upload=True)


class Usage(NamedTuple):
    total: int
    used: int
    free: int


@pytest.mark.parametrize(
    ("length", "free", "fits"),
    [
        (0, 0, True),
        (SMALL_BODY, 0, True),  # forms must go through on a full disk: one of them deletes
        (SMALL_BODY + 1, 0, False),
        (10**9, COPIES * 10**9 + DISK_RESERVE, True),
        (10**9, COPIES * 10**9 + DISK_RESERVE - 1, False),
    ],
)
def test_room(bounds: Bounds, length: int, free: int, fits: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(free, 0, free))
    if fits:
        bounds.check_room(length)
    else:
        with pytest.raises(DiskFull):
            bounds.check_room(length)


@pytest.mark.parametrize(
    ("value", "expected"), [(None, 0), ("", 0), ("0", 0), ("42", 42), ("007", 7), ("9" * 19, int("9" * 19))]
)
def test_declared_lengths(value: str | None, expected: int) -> None:
    assert content_length(value) == expected


@pytest.mark.parametrize(
    "value", ["-1", "+1", " 1", "1 ", "1, 1", "1.0", "0x10", "1_000", "\u0661", "\u00b2", "x", "9" * 20, "9" * 5000]
)
def test_lengths_that_two_parsers_could_read_differently_are_refused(value: str) -> None:
    """A length that we and a proxy see differently is how requests are smuggled."""
    with pytest.raises(BadInput):
        content_length(value)


@given(st.text())
def test_any_text_is_a_length_or_bad_input(value: str) -> None:
    try:
        assert content_length(value) >= 0
    except BadInput:
        assert not re.fullmatch("[0-9]{0,19}", value)

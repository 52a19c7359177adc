"""A ticket says who was given it, for one path, for a while; anything else is no ticket."""

import pytest
from django.test import override_settings
from hypothesis import given
from hypothesis import strategies as st

from mediastream import tickets
from mediastream.tickets import LIFE, SKEW, Claim, issue, read

PATH = "/media/12345678-1234-1234-1234-123456789012/"
VERSION = "0123456789abcdef"
NOW = 1_800_000_000.0
TICKET = issue(7, VERSION, PATH, NOW)


def test_it_says_who_it_was_given_to() -> None:
    assert read(TICKET, PATH, NOW) == Claim(7, VERSION)


def test_it_is_short_and_needs_no_quoting_in_a_cookie_or_a_query() -> None:
    assert len(issue(10**18 - 1, VERSION, PATH, NOW)) < 100
    assert set(TICKET) <= set("0123456789abcdef:")


@pytest.mark.parametrize("at", range(len(TICKET)))
def test_each_bit_flipped(at: int) -> None:
    for bit in range(8):
        flipped = TICKET[:at] + chr(ord(TICKET[at]) ^ 1 << bit) + TICKET[at + 1 :]
        assert read(flipped, PATH, NOW) is None


@pytest.mark.parametrize(
    ("after", "good"),
    [
        (0, True), (LIFE - 1, True), (LIFE, False), (LIFE + 1, False), (10 * LIFE, False),
        # Issued by a clock that was ahead: by some minutes, and by an hour.
        (-SKEW, True), (-SKEW - 2, False), (-3600, False), (-NOW, False),
    ],
)  # fmt: skip
def test_it_lasts_for_its_life_by_clocks_that_differ_a_little(after: float, *, good: bool) -> None:
    assert (read(TICKET, PATH, NOW + after) is not None) is good


@pytest.mark.parametrize(
    "path",
    ["/media/12345678-1234-1234-1234-123456789013/", PATH[:-1], PATH + "file", PATH.upper(), "/", "", "/live/yard/"],
)
def test_another_path(path: str) -> None:
    assert read(TICKET, path, NOW) is None


@pytest.mark.parametrize(
    "other",
    [
        issue(8, VERSION, PATH, NOW).rsplit(":", 1)[0],  # another user
        issue(7, VERSION[::-1], PATH, NOW).rsplit(":", 1)[0],  # another version
        issue(7, VERSION, PATH, NOW + 1).rsplit(":", 1)[0],  # a second more
        issue(7, VERSION, PATH, NOW).rsplit(":", 1)[0].replace("7:", "07:", 1),
    ],
)
def test_another_text_under_its_signature(other: str) -> None:
    assert read(f"{other}:{TICKET.rsplit(':', 1)[1]}", PATH, NOW) is None


@pytest.mark.parametrize(
    "text",
    [
        "", ":::", "7", TICKET + ":", TICKET + "\n", " " + TICKET, TICKET + "0", TICKET[:-1], TICKET.upper(),
        TICKET.replace(":", "\x00"), TICKET.replace("7", "\u0667", 1), "\udcff\udcfe", "�" * 60, "9" * 10_240,
        TICKET * 150, "-" + TICKET, "+" + TICKET, "1" * 19 + TICKET[1:],
    ],
    ids=range(18),
)  # fmt: skip
def test_what_is_none(text: str) -> None:
    assert read(text, PATH, NOW) is None


@given(st.text(max_size=120))
def test_any_text(text: str) -> None:
    assert read(text, PATH, NOW) is None


def test_another_sites_ticket() -> None:
    with override_settings(SECRET_KEY="another"):
        theirs = issue(7, VERSION, PATH, NOW)
    assert read(theirs, PATH, NOW) is None


def test_by_the_clock_of_this_machine() -> None:
    assert read(issue(7, VERSION, PATH), PATH) == Claim(7, VERSION)
    assert tickets.NAME == "ticket"

import pytest

from mediastream.tail import LINE_BYTES, LINES, Tail

SAID = b"one\r\ntwo\rthree\n\n  \n" + "vier \xfcber \xff\n".encode("latin-1") + b"x" * (2 * LINE_BYTES) + b"\nthe last"


@pytest.mark.parametrize("size", [1, 3, 7, len(SAID)])
def test_lines_are_whole_however_they_come(size: int) -> None:
    tail = Tail()
    for start in range(0, len(SAID), size):
        tail.feed(SAID[start : start + size])
    tail.end()
    assert str(tail).splitlines() == ["one", "two", "three", "vier �ber �", "x" * LINE_BYTES, "the last"]


def test_the_last_lines_are_kept() -> None:
    tail = Tail()
    for number in range(2 * LINES):
        tail.feed(b"%d\n" % number)
    tail.end()
    assert str(tail).splitlines() == [str(number) for number in range(LINES, 2 * LINES)]

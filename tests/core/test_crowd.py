"""A crowd that keeps up, falls behind and catches up, over socket pairs: who gets what, and what is counted."""

import random
from contextlib import suppress

import pytest

from mediastream import crowd as crowds
from mediastream.broadcast import Shared
from mediastream.crowd import Crowd
from tests.pairs import pair, taken

SIZE = 1000


def numbered(number: int, size: int = SIZE) -> Shared:
    return Shared(b"%06d" % number + b"x" * size)


def whole_chunks(text: bytes) -> list[int]:
    """The numbers of the chunks in it, each of which must be whole."""
    found = []
    while text:
        head, _, rest = text.partition(b"\r\n")
        size = int(head, 16)
        assert rest[size : size + 2] == b"\r\n"
        found.append(int(rest[:6]))
        text = rest[size + 2 :]
    return found


def test_each_gets_all_from_when_it_joins_until_it_leaves() -> None:
    crowd = Crowd()
    with pair() as (one, reads_one), pair() as (two, reads_two):
        crowd.join(one, one.passed_over)
        for number in range(10):
            if number == 3:
                crowd.join(two, two.passed_over)
            if number == 7:
                crowd.leave(one)
            crowd.offer(numbered(number))
        crowd.leave(two)
        got_one, got_two = taken(reads_one), taken(reads_two)
    assert whole_chunks(got_one) == list(range(7))
    assert whole_chunks(got_two) == list(range(3, 10))
    assert (one.counted, two.counted) == (len(got_one), len(got_two))
    assert one.missed == two.missed == len(crowd) == 0


@pytest.mark.parametrize("told", [0.0, 1e-4, 3600.0])
def test_who_is_slow_misses_some_gets_the_others_whole_and_is_counted_right(
    told: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crowds, "TELL_EVERY", told)
    crowd = Crowd()
    with pair() as (fast, reads_fast), pair(buffer=4096) as (slow, reads_slow):
        crowd.join(fast, fast.passed_over)
        crowd.join(slow, slow.passed_over)
        got_fast = got_slow = b""
        for number in range(200):
            crowd.offer(numbered(number))
            got_fast += taken(reads_fast)
            if number % 20 == 19:
                got_slow += taken(reads_slow)
        for _ in range(3):
            got_slow += taken(reads_slow)
            slow.flush()
        crowd.leave(fast)
        crowd.leave(slow)
    assert whole_chunks(got_fast) == list(range(200))
    numbers = whole_chunks(got_slow)
    assert numbers == sorted(set(numbers))
    assert 20 < len(numbers) < 200
    assert slow.missed == 200 - len(numbers)
    assert (fast.counted, slow.counted) == (len(got_fast), len(got_slow))


@pytest.mark.parametrize("seed", range(5))
def test_who_catches_up_in_part_gets_the_rest_before_the_next(seed: int) -> None:
    chance = random.Random(seed)
    crowd = Crowd()
    with pair(buffer=4096) as (slow, reads):
        crowd.join(slow, slow.passed_over)
        got = b""
        for number in range(400):
            crowd.offer(numbered(number, chance.choice([10, 3000])))
            with suppress(BlockingIOError):
                got += reads.recv(chance.choice([1, 500, 5000]))
        crowd.leave(slow)
        while (more := taken(reads)) or slow.unsent:
            got += more
            slow.flush()
    numbers = whole_chunks(got)
    assert numbers == sorted(set(numbers))
    assert slow.missed == 400 - len(numbers)
    assert slow.counted == len(got)


def test_one_that_has_left_is_passed_over_and_the_others_are_not() -> None:
    crowd = Crowd()
    with pair() as (one, reads_one), pair() as (two, reads_two):
        for each in (one, two):
            crowd.join(each, each.passed_over)
        crowd.offer(numbered(0))
        reads_one.close()
        two_more = [numbered(1), numbered(2)]
        one.offer = lambda data: False  # type: ignore[method-assign]  # as of a connection that has closed
        for data in two_more:
            crowd.offer(data)
        crowd.leave(one)
        assert whole_chunks(taken(reads_two)) == [0, 1, 2]
    assert one.missed == 2


def test_the_sockets_are_set_anew_for_another_size_only() -> None:
    crowd = Crowd()
    with pair() as (one, reads), pair() as (late, reads_late):
        crowd.join(one, one.passed_over)
        for size in (1000, 13_000, 200, 30_000, 20_000, 34_000, 1000, 40):
            crowd.offer(numbered(0, size))
            taken(reads)
        assert one.suited == [4096, 16384, 4096]
        crowd.join(late, late.passed_over)
        assert late.suited == [4096]
        crowd.offer(numbered(0, 200))
        assert whole_chunks(taken(reads_late)) == [0]

"""What a subscriber of a camera's H.264 gets: whole groups of pictures, or none of one; never one without its start."""

import asyncio

from mediastream import streams
from mediastream.broadcast import Shared
from mediastream.live import place as places
from mediastream.live.encoder import Encoded
from mediastream.live.fmp4 import Fragment, Init
from mediastream.live.place import Place

INIT = Init(b"init", "avc1.42C01F", 1000, 64, 48)
DEADLINE = 10.0


def encoded(number: int, *, key: bool = False, size: int = 0) -> Encoded:
    return Encoded(Fragment(b"%d%s " % (number, b"k" if key else b"") + bytes(size), key, number, 1), number, number)


def put_groups(place: Place, first: int, count: int, each: int = 3) -> None:
    """Numbered on; each group of `each` begins with a keyframe."""
    for number in range(first, first + count):
        place.put(encoded(number, key=number % each == 0))


async def numbers(place: Place, count: int) -> list[int]:
    taken = []
    async with asyncio.timeout(DEADLINE):
        for _ in range(count):
            found = await place.take()
            assert isinstance(found, Encoded)
            taken.append(found.fragment.decode_time)
    return taken


class Viewer:
    """A connection that is busy or not."""

    def __init__(self) -> None:
        self.busy = False
        self.got = b""

    def offer(self, data: Shared) -> bool:
        if not self.busy:
            self.got += data.plain
        return not self.busy


async def test_it_begins_with_the_init_and_a_keyframe() -> None:
    place = Place()
    place.put_init(INIT)
    place.put(encoded(1))
    put_groups(place, 3, 2)
    assert await place.take() == INIT
    assert await numbers(place, 2) == [3, 4]
    assert place.skipped == 1


async def test_one_group_behind_is_waited_for() -> None:
    place = Place()
    put_groups(place, 0, 3)
    assert await numbers(place, 2) == [0, 1]
    put_groups(place, 3, 3)
    assert await numbers(place, 4) == [2, 3, 4, 5]
    assert place.skipped == 0


async def test_more_than_a_group_behind_goes_on_with_the_next_keyframe() -> None:
    before = streams.dropped()["video"]
    place = Place()
    put_groups(place, 0, 3)
    assert await numbers(place, 2) == [0, 1]
    put_groups(place, 3, 5)  # 2, 3, 4 and 5 wait when 6 comes
    assert await numbers(place, 2) == [6, 7]
    assert place.skipped == 4
    assert streams.dropped()["video"] - before == 4


async def test_too_many_bytes_are_let_go_and_it_goes_on_with_a_keyframe() -> None:
    place = Place()
    size = places.MAX_BYTES // 2
    place.put(encoded(0, key=True, size=size))
    place.put(encoded(1, size=size))
    put_groups(place, 2, 2)
    assert await numbers(place, 1) == [3]
    assert place.skipped == 3
    place.put(encoded(4, size=size))  # what was taken counts no longer
    place.put(encoded(5, size=size // 2))
    assert await numbers(place, 2) == [4, 5]


async def test_the_init_is_never_left_out() -> None:
    place = Place()
    place.put_init(INIT)
    put_groups(place, 0, 7)
    assert await place.take() == INIT
    assert await numbers(place, 1) == [6]


async def test_one_that_goes_across_gets_each_run_from_its_own_init_on() -> None:
    place = Place(across=True)
    other = Init(b"other", "avc1.42C01F", 1000, 32, 24)
    place.put_init(INIT)
    put_groups(place, 0, 2)
    assert await place.take() == INIT
    place.put_init(other)
    place.put(encoded(4))
    put_groups(place, 6, 1)
    assert await numbers(place, 2) == [0, 1]
    assert await place.take() == other
    assert await numbers(place, 1) == [6]


async def test_runs_of_which_nothing_was_taken_do_not_gather() -> None:
    place = Place(across=True)
    for run in range(5):
        place.put_init(Init(b"%d" % run, "avc1.42C01F", 1000, 64, 48))
        put_groups(place, 3 * run, 3)
    found = await place.take()
    assert isinstance(found, Init)
    assert found.data == b"4"
    assert await numbers(place, 3) == [12, 13, 14]
    assert place.skipped == 12


async def test_the_end_of_one_that_goes_across_comes_after_what_waits() -> None:
    place, other = Place(across=True), Place()
    for each in (place, other):
        put_groups(each, 0, 2)
        each.end()
    assert await other.take() is None
    assert await numbers(place, 2) == [0, 1]
    assert await place.take() is None


async def test_the_end_is_cut_only_if_that_came_first() -> None:
    one, other = Place(), Place()
    one.end()
    one.end(cut=True)
    other.end(cut=True)
    other.end()
    assert (one.cut, other.cut) == (False, True)
    async with asyncio.timeout(DEADLINE):
        await other.over()


async def test_a_connection_gets_each_picture_at_once() -> None:
    place, viewer = Place(), Viewer()
    place.put_init(INIT)
    put_groups(place, 0, 2)
    place.feed(viewer.offer)
    assert viewer.got == b"init0k 1 "
    put_groups(place, 2, 2)
    assert viewer.got == b"init0k 1 2 3k "


async def test_a_busy_connection_gets_what_waited_with_the_next_picture() -> None:
    place, viewer = Place(), Viewer()
    place.feed(viewer.offer)
    put_groups(place, 0, 1)
    viewer.busy = True
    put_groups(place, 1, 2)
    viewer.busy = False
    assert viewer.got == b"0k "
    put_groups(place, 3, 1)
    assert viewer.got == b"0k 1 2 3k "
    assert place.skipped == 0


async def test_a_connection_that_stays_busy_goes_on_with_a_keyframe() -> None:
    place, viewer = Place(), Viewer()
    place.feed(viewer.offer)
    put_groups(place, 0, 1)
    viewer.busy = True
    put_groups(place, 1, 10)
    viewer.busy = False
    put_groups(place, 11, 1)
    assert viewer.got == b"0k 9k 10 11 "
    assert place.skipped == 8


async def test_pictures_are_shared_between_connections() -> None:
    place, given = Place(), []
    place.feed(lambda data: bool(given.append(data)) or True)
    picture = encoded(0, key=True)
    place.put(picture)
    assert given == [picture.fragment.shared]
    assert given[0] is picture.fragment.shared

"""Further ranges that the real worker answers by itself: that it does, for how long, and that nothing of it is left."""

import time
from pathlib import Path
from random import Random

import pytest

from tests.media import Clips
from tests.system.harness import Server, read_head, request, reset, wait_until
from tests.system.visiting import Shell

pytestmark = pytest.mark.system

SOON = 4.0  # seconds; it takes less than one, but the tests' machine may have other things to do


@pytest.fixture
def item(server: Server, clips: Clips) -> dict[str, str]:
    return server.add_media(clips["h264.mp4"])


class Player:
    """Asks for ranges of one file on one connection."""

    def __init__(self, server: Server, path: str) -> None:
        self.connection = server.connect()
        self.path = path

    def __enter__(self) -> "Player":
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def ask(self, first: int, last: int) -> tuple[int, bytes]:
        self.connection.sendall(request(self.path, f"Range: bytes={first}-{last}"))
        status, headers, body = read_head(self.connection)
        while len(body) < int(headers["content-length"]):
            body += self.connection.recv(65536)
        return status, body


def stored(server: Server, shell: Shell, item: dict[str, str]) -> Path:
    return Path(shell.run(f"result = Media.objects.get(pk={item['id']!r}).file.path"))


def test_the_second_range_is_answered_without_a_look_at_the_files_name(
    server: Server, shell: Shell, item: dict[str, str], clips: Clips
) -> None:
    """Nothing of an answer tells by which way it came. But with the file moved away, the view would not find it."""
    path, content = stored(server, shell, item), clips["h264.mp4"].read_bytes()
    aside = path.with_suffix(".aside")
    granted = False
    for _ in range(20):  # a machine that stands still for a second between two requests is no fault of the server's
        with Player(server, item["file"]) as player:
            assert player.ask(0, 99) == (206, content[:100])
            path.rename(aside)
            try:
                status, body = player.ask(100, 299)
                granted = status == 206
                assert not granted or body == content[100:300]
                if granted:
                    break
            finally:
                aside.rename(path)
    assert granted


def test_an_item_made_private_elsewhere_is_closed_within_a_second(
    server: Server, shell: Shell, item: dict[str, str]
) -> None:
    with Player(server, item["file"]) as player:
        for _ in range(5):
            assert player.ask(0, 99)[0] == 206
        shell.run(f"media = Media.objects.get(pk={item['id']!r}); media.visibility = 'private'; media.save()")
        assert wait_until(lambda: player.ask(0, 99)[0] == 401, SOON, "the refusal") < SOON
        for _ in range(20):
            assert player.ask(0, 99)[0] == 401


def test_an_item_changed_in_the_database_alone_is_closed_too(
    server: Server, shell: Shell, item: dict[str, str]
) -> None:
    """No signal is sent by an update of a query, and so no notice."""
    with Player(server, item["file"]) as player:
        assert player.ask(0, 99)[0] == 206
        shell.run(f"Media.objects.filter(pk={item['id']!r}).update(visibility='private')")
        assert wait_until(lambda: player.ask(0, 99)[0] == 401, SOON, "the refusal") < SOON


def test_a_deleted_item_is_gone_for_who_was_granted_it(server: Server, shell: Shell, item: dict[str, str]) -> None:
    with Player(server, item["file"]) as player:
        assert player.ask(0, 99)[0] == 206
        shell.run(f"Media.objects.get(pk={item['id']!r}).delete()")
        assert wait_until(lambda: player.ask(0, 99)[0] == 404, SOON, "its absence") < SOON


def test_a_thousand_granted_requests_and_aborts_leave_no_descriptor(
    server: Server, item: dict[str, str], clips: Clips
) -> None:
    content = clips["h264.mp4"].read_bytes()
    chance = Random(9)

    def visit(number: int) -> None:
        with Player(server, item["file"]) as player:
            first = chance.randrange(len(content) - 1000)
            if number % 4 == 0:
                player.connection.sendall(request(item["file"], f"Range: bytes={first}-"))
                if number % 8 == 0:
                    read_head(player.connection)
                reset(player.connection) if number % 3 else player.connection.close()
                return
            for _ in range(3):
                assert player.ask(first, first + 999) == (206, content[first : first + 1000])

    def settled() -> int:
        wait_until(lambda: not open_connections(server), 10, "no open connection")
        time.sleep(2.5)  # the last grant has gone, and the watch has closed its file
        return server.descriptors()

    for number in range(20):
        visit(number)
    baseline = settled()
    for number in range(450):
        visit(number)
    wait_until(lambda: settled() <= baseline, 20, f"{server.descriptors()} descriptors down to {baseline}")


def open_connections(server: Server) -> list[object]:
    return [each for each in server.worker().net_connections("tcp") if each.status != "LISTEN"]

"""Who gets which bytes, over the real server: the lean road has no middleware to ask for it."""

import http.client
import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests import access_table
from tests.access_table import ROLES, VISIBILITIES
from tests.media import Clips
from tests.system.harness import Server, read_head, request, wait_until
from tests.system.visiting import Shell

pytestmark = pytest.mark.system

FLAGS: dict[str, dict[str, bool]] = {
    "inactive": {"is_active": False},
    "staff": {"is_staff": True},
    "superuser": {"is_staff": True, "is_superuser": True},
}
LEAN = int(os.environ.get("LEAN_REQUESTS", "3000"))


@pytest.fixture(scope="module")
def shell(server: Server) -> Iterator[Shell]:
    made = Shell(server.data_dir)
    yield made
    made.close()


@pytest.fixture(scope="module")
def people(shell: Shell) -> dict[str, tuple[int, str]]:
    """By role: the id, and the key of a session. An account is closed after its session was begun."""
    made = {role: shell.user(**(FLAGS.get(role, {}) | {"is_active": True})) for role in ROLES if role != "anonymous"}
    shell.run(f"User.objects.filter(pk={made['inactive'][0]}).update(is_active=False)")
    return made


@pytest.fixture(scope="module")
def items(server: Server, shell: Shell, people: dict[str, tuple[int, str]], clips: Clips) -> Iterator[dict[str, str]]:
    """By visibility; and cameras of the same names."""
    like = server.add_media(clips["silent.mp4"])["id"]
    made = {visibility: shell.item(like, people["owner"][0], visibility) for visibility in VISIBILITIES}
    shell.run(
        f"Media.objects.filter(pk__in={[*made.values()]!r}).update(poster=Media.objects.get(pk={like!r}).poster.name)"
    )
    for pk in made.values():
        shell.run(
            f"from tests.media_library.conftest import put_thumbnails; put_thumbnails(Media.objects.get(pk={pk!r}))"
        )
    for visibility in VISIBILITIES:
        shell.run(
            f"Camera.objects.create(slug={visibility!r}, name='x', source='test-pattern', visibility={visibility!r})"
        )
        shell.run(f"Topic.objects.create(name={visibility!r}, visibility={visibility!r})")
    yield made
    shell.run(f"Camera.objects.filter(slug__in={VISIBILITIES!r}).delete()")
    shell.run(f"Topic.objects.filter(name__in={VISIBILITIES!r}).delete()")


def ask(
    connection: http.client.HTTPConnection, method: str, path: str, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    connection.request(method, path, headers={"Range": "bytes=0-9", **headers})
    answer = connection.getresponse()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()


@pytest.mark.parametrize("role", ROLES)
def test_who_gets_what(
    server: Server, shell: Shell, people: dict[str, tuple[int, str]], items: dict[str, str], role: str
) -> None:
    """Every address, by each role and method. What refuses starts nothing, and neither does HEAD."""
    headers = {} if role == "anonymous" else {"Cookie": f"sessionid={people[role][1]}"}
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)) as connection:
        for case in access_table.cases():
            statuses = case.statuses(role)
            if case.endless and case.method == "GET" and 200 in statuses:
                continue
            path = case.path(items[case.visibility], case.visibility)
            status, answered, body = ask(connection, case.method, path, **headers)
            assert status in statuses, (case, body[:300])
            if case.kind in ("item", "camera") and not statuses & {200, 206}:
                assert answered["cache-control"] == "no-store"
                assert answered["content-type"] == "application/json"
                assert case.method == "HEAD" or json.loads(body)["detail"].endswith(".")
    assert not server.ffmpegs()


@pytest.mark.parametrize("role", ["owner", "member"])
@pytest.mark.parametrize("way", ["cookie", "query"])
def test_a_ticket_has_the_rights_of_who_it_was_given_to(
    server: Server, people: dict[str, tuple[int, str]], items: dict[str, str], role: str, way: str
) -> None:
    """And of nobody else, on every address of its item, and on no other item's."""
    tickets: dict[str, str] = {}
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)) as connection:
        for visibility in ("members", "private"):
            path = f"/media/{items[visibility]}/poster.jpg"
            status, headers, _ = ask(connection, "HEAD", path, Cookie=f"sessionid={people[role][1]}")
            if status == 200:
                tickets[visibility] = headers["set-cookie"].partition(";")[0].removeprefix("ticket=")
        assert set(tickets) == ({"members", "private"} if role == "owner" else {"members"})
        for case in access_table.cases():
            if case.kind != "item" or case.method != "HEAD":
                continue
            path = case.path(items[case.visibility], "")
            for whose, ticket in tickets.items():
                wanted = {200} if case.visibility in ("public", whose) else {401}
                address, cookie = (
                    (path, {"Cookie": f"ticket={ticket}"}) if way == "cookie" else (f"{path}?ticket={ticket}", {})
                )
                status, headers, _ = ask(connection, "HEAD", address, **cookie)
                assert status in wanted
                assert "set-cookie" not in headers


def test_a_right_gives_the_bytes(server: Server, people: dict[str, tuple[int, str]], items: dict[str, str]) -> None:
    """HEAD alone would not show it."""
    cookie = f"Cookie: sessionid={people['owner'][1]}"
    for name, first in (("file", b"ftyp"), ("stream.mp4?profile=360p", b"ftyp"), ("poster.jpg", b"\xff\xd8")):
        with server.connect() as connection:
            connection.sendall(request(f"/media/{items['private']}/{name}", cookie))
            status, headers, body = read_head(connection)
            while len(body) < 64:
                body += connection.recv(65536)
        assert status == 200
        assert first in body[:64]
        assert headers["set-cookie"].startswith("ticket=")
    wait_until(lambda: not server.ffmpegs(), 10, "the transcode's end")


def test_a_wrong_host_is_refused_on_the_lean_road_too(server: Server, items: dict[str, str]) -> None:
    """Else a name that an attacker lets resolve to this machine could read what its visitors may see."""
    address = server.url(f"/media/{items['public']}/file")
    with pytest.raises(urllib.error.HTTPError) as refusal:
        urllib.request.urlopen(urllib.request.Request(address, headers={"Host": "evil.example"}))
    with refusal.value:
        assert refusal.value.code == 400


def databases(server: Server) -> int:
    """How many times the worker has the database open."""
    entries = Path(f"/proc/{server.worker().pid}/fd").iterdir()
    return sum(1 for entry in entries if entry.exists() and entry.readlink().name.endswith(".sqlite3"))


def test_thousands_of_lean_requests_leave_no_connection_and_no_thread(
    server: Server, people: dict[str, tuple[int, str]], items: dict[str, str]
) -> None:
    """By session and by ticket, from several clients, let in and refused, with ranges and without."""
    owner, member = (f"Cookie: sessionid={people[role][1]}" for role in ("owner", "member"))
    file, poster = f"/media/{items['private']}/file", f"/media/{items['private']}/poster.jpg"
    asked = b"".join(
        [
            request(file, owner, "Range: bytes=0-9"), request(file, owner, "Range: bytes=5-99"),
            request(poster, owner, method="HEAD"), request(file, member), request(file, "Range: bytes=0-0"),
            request("/media/00000000-0000-0000-0000-000000000000/file"), request(f"{file}?ticket=x", method="HEAD"),
            request(f"/media/{items['public']}/file", "Range: bytes=7-8"), request("/live/private/mjpeg"),
            request(f"/media/{items['private']}/stream.mp4", owner, method="HEAD"),
        ]
    )  # fmt: skip

    def run(rounds: int) -> None:
        connections = [server.connect(60) for _ in range(4)]
        for number in range(rounds):
            connections[number % 4].sendall(asked)
            if number % 4 == 3:
                for connection in connections:
                    read_answers(connection, 10, heads={2, 6, 9})
        for connection in connections:
            connection.close()

    run(100)
    threads, opened = server.worker().num_threads(), databases(server)
    run(LEAN // 10)
    assert server.worker().num_threads() <= threads
    assert databases(server) <= opened


def read_answers(connection: object, count: int, heads: set[int]) -> None:
    """Of `count` pipelined requests, of which those at `heads` asked for headers alone."""
    received = b""
    for number in range(count):
        while b"\r\n\r\n" not in received:
            received += connection.recv(65536)  # type: ignore[attr-defined]
        head, _, received = received.partition(b"\r\n\r\n")
        assert b" 50" not in head.partition(b"\r\n")[0]
        lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        length = int(lengths[0].partition(b":")[2]) if lengths and number not in heads else 0
        while len(received) < length:
            received += connection.recv(65536)  # type: ignore[attr-defined]
        received = received[length:]

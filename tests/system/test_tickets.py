"""Tickets, and requests with something wrong in them, over the real server: a 4xx, a sentence, and nothing logged."""

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.harness import Server, read_head, request
from tests.system.visiting import Shell

pytestmark = pytest.mark.system

STREAMS = ("file", "poster.jpg", "stream.mp4")


@pytest.fixture(scope="module")
def logging_server(seeded: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """With its access log on."""
    folder = tmp_path_factory.mktemp("tickets") / "data"
    started = Server.start(shutil.copytree(seeded, folder), GUNICORN_CMD_ARGS="--access-logfile -")
    yield started
    started.close_opened()
    started.stop()


@pytest.fixture(scope="module")
def shell(logging_server: Server) -> Iterator[Shell]:
    made = Shell(logging_server.data_dir)
    yield made
    made.close()


class Owned:
    """A private item and a session of its owner's."""

    def __init__(self, server: Server, shell: Shell, like: str) -> None:
        self.server, self.shell = server, shell
        self.user, self.session = shell.user()
        self.item = shell.item(like, self.user, "private")
        # The seeded clips have posters.
        shell.run(f"Media.objects.filter(pk={self.item!r}).update(poster=Media.objects.get(pk={like!r}).poster.name)")

    def path(self, name: str = "file") -> str:
        return f"/media/{self.item}/{name}"

    def ask(
        self, path: str, *headers: str, method: str = "GET", body: bytes = b""
    ) -> tuple[int, dict[str, str], bytes]:
        return ask(self.server, request(path, *headers, "Connection: close", method=method) + body)

    def ticket(self) -> str:
        status, headers, _ = self.ask(self.path(), f"Cookie: sessionid={self.session}", "Range: bytes=0-0")
        assert status == 206
        return headers["set-cookie"].partition(";")[0].removeprefix("ticket=")


def ask(server: Server, data: bytes) -> tuple[int, dict[str, str], bytes]:
    with server.connect() as connection:
        connection.sendall(data)
        status, headers, body = read_head(connection)
        while len(body) < 3000 and (chunk := connection.recv(65536)):
            body += chunk
    return status, headers, body


@pytest.fixture(scope="module")
def owned(logging_server: Server, shell: Shell) -> Owned:
    like = shell.run("result = str(Media.objects.exclude(poster='').first().pk)")
    return Owned(logging_server, shell, like)


def check_sentence(headers: dict[str, str], body: bytes) -> str:
    """Ours is JSON; what gunicorn refuses before it is a request has a line of text."""
    if headers["content-type"] == "application/json":
        said = str(json.loads(body)["detail"])
        assert said.endswith(".")
        return said
    assert headers["content-type"] == "text/plain"
    assert len(body.split()) >= 3
    return body.decode()


def lines_of(server: Server, since: int) -> str:
    time.sleep(0.3)
    return server.log.read_text()[since:]


@pytest.mark.parametrize("way", ["cookie", "query"])
@pytest.mark.parametrize("name", STREAMS)
def test_a_ticket_alone_is_enough_and_is_not_logged(owned: Owned, name: str, way: str) -> None:
    ticket, since = owned.ticket(), len(owned.server.log.read_text())
    if way == "cookie":
        status, headers, _ = owned.ask(owned.path(name), f"Cookie: ticket={ticket}", method="HEAD")
    else:
        address = f"{owned.path(name)}?ticket={ticket}"
        status, headers, _ = owned.ask(address, f"Referer: http://localhost{address}", method="HEAD")
    assert status == 200
    assert "set-cookie" not in headers
    logged = lines_of(owned.server, since)
    assert f'"HEAD {owned.path(name)} HTTP/1.1" 200' in logged
    assert "ticket" not in logged


def spoilt(ticket: str) -> list[str]:
    user, version, expiry, signature = ticket.split(":")
    return [
        ticket[:-1] + ("0" if ticket[-1] != "0" else "1"),
        f"{int(user) + 1}:{version}:{expiry}:{signature}",
        f"{user}:{version[::-1]}:{expiry}:{signature}",
        f"{user}:{version}:{int(expiry) + 60}:{signature}",
        f"{user}:{version}:1:{signature}",
        ticket.replace(":", "%00"), "%ff%fe%fd", "x" * 3000,
    ]  # fmt: skip


@pytest.mark.parametrize("which", range(8))
@pytest.mark.parametrize("name", STREAMS)
def test_a_ticket_that_is_no_good(owned: Owned, name: str, which: int) -> None:
    bad = spoilt(owned.ticket())[which]
    for status, headers, body in (
        owned.ask(f"{owned.path(name)}?ticket={bad}"), owned.ask(owned.path(name), f"Cookie: ticket={bad}"),
    ):  # fmt: skip
        assert status == 401
        assert "expired or was revoked" in check_sentence(headers, body)
        assert "sign in" in json.loads(body)["detail"]


def test_a_ticket_for_another_item(owned: Owned) -> None:
    other = Owned(owned.server, owned.shell, owned.item)
    for ticket in (other.ticket(), owned.ticket().replace("a", "b")):
        assert owned.ask(owned.path(), f"Cookie: ticket={ticket}")[0] == 401


def test_a_ticket_of_ten_kilobytes(owned: Owned) -> None:
    """gunicorn's bound on the request line comes first, and that on a header field."""
    status, headers, body = owned.ask(f"{owned.path()}?ticket={'9' * 10_240}")
    assert status == 414
    check_sentence(headers, body)
    status, headers, body = owned.ask(owned.path(), f"Cookie: ticket={'9' * 10_240}")
    assert 400 <= status < 500
    check_sentence(headers, body)


@pytest.mark.parametrize("where", ["cookie", "query", "path"])
def test_bytes_that_are_no_utf_8(owned: Owned, where: str) -> None:
    path = owned.path().encode()
    line = {"query": path + b"?ticket=\xff\xfe", "path": b"/media/\xff\xfe/file"}.get(where, path)
    cookie = b"Cookie: ticket=\xff\xfe\r\n" if where == "cookie" else b""
    data = b"GET %b HTTP/1.1\r\nHost: localhost\r\n%bConnection: close\r\n\r\n" % (line, cookie)
    status, headers, body = ask(owned.server, data)
    assert 400 <= status < 500
    check_sentence(headers, body)


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize(
    ("headers", "body", "statuses"),
    [
        (["Content-Length: 5"], b"hello", {400}),
        (["Transfer-Encoding: chunked"], b"5\r\nhello\r\n0\r\n\r\n", {400}),
        (["Transfer-Encoding: chunked", "Content-Length: 5"], b"5\r\nhello\r\n0\r\n\r\n", {400}),
        (["Content-Length: 5", "Content-Length: 6"], b"hello", {400}),
        (["Content-Length: -5"], b"hello", {400}),
        ([f"Cookie: name{number}=x" for number in range(200)], b"", {431}),
        (["Cookie: " + "; ".join(f"name{number}=x" for number in range(200))], b"", {401}),
        (["Cookie: sessionid=abcdefghijklmnopqrstuvwxyz012345"], b"", {401}),
        (["Cookie: sessionid=\x01"], b"", {400, 401}),
    ],
    ids=[
        "body", "chunked", "both", "two-lengths", "negative", "200-lines", "200-in-one", "gone-session",
        "odd-session",
    ],
)  # fmt: skip
def test_a_request_with_something_wrong(
    owned: Owned, name: str, headers: list[str], body: bytes, statuses: set[int]
) -> None:
    status, answered, said = owned.ask(owned.path(name), *headers, body=body)
    assert status in statuses
    check_sentence(answered, said)


def test_a_session_that_was_deleted(owned: Owned) -> None:
    _, session = owned.shell.user()
    owned.shell.run(
        f"from django.contrib.sessions.models import Session\nSession.objects.filter(pk={session!r}).delete()"
    )
    status, headers, body = owned.ask(owned.path(), f"Cookie: sessionid={session}")
    assert status == 401
    assert check_sentence(headers, body).startswith("Sign in")


def test_a_ticket_after_its_revocation_also_on_a_kept_connection(
    logging_server: Server, shell: Shell, owned: Owned
) -> None:
    other = Owned(logging_server, shell, owned.item)
    ticket = other.ticket()
    with logging_server.connect() as connection:

        def status() -> int:
            connection.sendall(request(other.path(), f"Cookie: ticket={ticket}", "Range: bytes=0-9"))
            status, headers, body = read_head(connection)
            while len(body) < int(headers["content-length"]):
                body += connection.recv(65536)
            return status

        assert status() == 206
        shell.run(f"user = User.objects.get(pk={other.user})\nuser.set_password('y')\nuser.save()")
        deadline = time.monotonic() + 1
        while status() == 206 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert status() == 401
    assert other.ask(other.path(), f"Cookie: sessionid={other.session}")[0] == 401


def test_a_fault_in_a_view_logs_no_ticket(owned: Owned) -> None:
    """A file that cannot be opened is told as 500 and logged."""
    other = Owned(owned.server, owned.shell, owned.item)
    ticket, since = other.ticket(), len(owned.server.log.read_text())
    owned.shell.run(
        f"import os\npath = Media.objects.get(pk={other.item!r}).path\npath.unlink()\nos.symlink(path.name, path)"
    )
    for answer in (
        other.ask(f"{other.path()}?ticket={ticket}"), other.ask(other.path(), f"Cookie: ticket={ticket}"),
        other.ask(f"{other.path('stream.mp4')}?ticket={ticket}&start=x"),
    ):  # fmt: skip
        assert answer[0] in (400, 500)
        check_sentence(answer[1], answer[2])
    logged = lines_of(owned.server, since)
    assert " 500 " in logged
    assert ticket not in logged
    assert ticket.rsplit(":", 1)[1] not in logged

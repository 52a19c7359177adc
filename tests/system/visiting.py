"""Visitors of the real server who watch while somebody else changes who may; and that somebody."""

import json
import os
import secrets
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from contextlib import suppress
from email.message import Message
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any, Self

import pytest

from tests.system.harness import PASSWORD, ROOT, Server, read_head, request

LOOP = """
import json, sys
for line in sys.stdin:
    names = {}
    exec(json.loads(line), names)
    print(json.dumps(names.get("result")), flush=True)
"""
IMPORTS = """
from django.contrib.auth import get_user_model
from django.test import Client
from media_library.models import Media
from mediastream.feeds.models import Topic
from mediastream.live.models import Camera
User = get_user_model()
"""
ESTABLISHED = 1  # tcpi_state, linux/tcp.h


class Shell:
    """`manage.py shell` on the same data folder: another process, kept for many commands."""

    def __init__(self, data_dir: Path) -> None:
        self._process = subprocess.Popen(
            [ROOT / ".venv/bin/python", ROOT / "manage.py", "shell", "-v0", "-c", LOOP],
            env={**os.environ, "MEDIASTREAM_DATA_DIR": str(data_dir)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, code: str) -> Any:
        """Run it there; returns what it leaves in `result`."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps(IMPORTS + code) + "\n")
        stdin.flush()
        answer = stdout.readline()
        assert answer, "the shell ended"
        return json.loads(answer)

    def close(self) -> None:
        self._process.communicate(timeout=20)

    def add_media(self, path: Path) -> dict[str, str]:
        """As the command does, which takes a second and more to start."""
        said = self.run(
            "import io\nfrom django.core.management import call_command\nsaid = io.StringIO()\n"
            f"call_command('add_media', '--visibility', 'public', {str(path)!r}, stdout=said)\n"
            "result = said.getvalue()"
        )
        added: dict[str, str] = json.loads(said)
        return added

    def user(self, **fields: object) -> tuple[int, str]:
        """A new account: its id, and the key of a session of its own."""
        name = secrets.token_hex(6)
        pk, session = self.run(
            f"user = User.objects.create_user({name!r}, password='x', **{fields!r})\n"
            "client = Client()\nclient.force_login(user)\n"
            "result = [user.pk, client.cookies['sessionid'].value]"
        )
        return pk, session

    def item(self, like: str, owner: int | None, visibility: str) -> str:
        """A new item with the content of another."""
        return str(
            self.run(
                "import os, uuid\n"
                f"media = Media.objects.get(pk={like!r})\n"
                "path = media.path\n"
                "media.pk, media._state.adding = uuid.uuid4(), True\n"
                f"media.owner_id, media.visibility, media.poster = {owner!r}, {visibility!r}, ''\n"
                "media.file.name = f'media/{media.pk.hex}.mp4'\n"
                "os.link(path, media.path)\n"
                "media.save()\n"
                "result = str(media.pk)"
            )
        )


class Viewer:
    """A stream over a socket of its own. `paused`: it takes the head of the answer and then nothing."""

    def __init__(self, port: int, path: str, *headers: str, paused: bool = False) -> None:
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        self.socket.settimeout(60)
        self.socket.connect(("127.0.0.1", port))
        self.received = 0
        self.ended_at: float | None = None
        self._ask(path, *headers)
        self._reader = threading.Thread(target=self._read)
        if not paused:
            self._reader.start()

    def _ask(self, path: str, *headers: str) -> None:
        self.socket.sendall(request(path, *headers))
        self.status, self.headers, rest = read_head(self.socket)
        self.received = len(rest)

    def _read(self) -> None:
        with suppress(OSError):
            while chunk := self.socket.recv(65536):
                self.received += len(chunk)
                time.sleep(0.02)  # so that no file is over before its right is
        self.ended_at = time.monotonic()

    @property
    def ended(self) -> bool:
        """Whether the server has ended it. Who has paused sees a reset at once, and an end in order only after
        all the bytes before it."""
        if self._reader.ident is not None:
            return not self._reader.is_alive()
        return self.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != ESTABLISHED

    @property
    def whole(self) -> bool:
        return self.received >= int(self.headers.get("content-length", 2**60))

    def close(self) -> None:
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        if self._reader.ident is not None:
            self._reader.join(20)
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class SecondAnswer(Viewer):
    """The second range over a kept connection, in a request that differs from the first in its range alone."""

    def _ask(self, path: str, *headers: str) -> None:
        first = request(path, *headers, "Range: bytes=0-9")
        self.socket.sendall(first)
        status, _, rest = read_head(self.socket)
        assert status == 206
        while len(rest) < 10:
            rest += self.socket.recv(10 - len(rest))
        super()._ask(path, *headers, "Range: bytes=10-")


class Asking:
    """A kept connection of somebody who asks now and then."""

    def __init__(self, port: int, path: str, *headers: str) -> None:
        self._request = request(path, *headers, "Range: bytes=0-0")
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=60)

    def status(self) -> int:
        self._socket.sendall(self._request)
        status, headers, rest = read_head(self._socket)
        while len(rest) < int(headers["content-length"]):
            rest += self._socket.recv(65536)
        return status

    def close(self) -> None:
        self._socket.close()


class Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None


def send_form(server: Server, cookies: str, path: str, **fields: object) -> Message:
    """Send a form with its CSRF token; the headers of the answer, which must be a redirection: a form that comes
    back was no good."""
    token = "t" * 32
    data = urllib.parse.urlencode({"csrfmiddlewaretoken": token, **fields}).encode()
    sent = urllib.request.Request(server.url(path), data, {"Cookie": f"{cookies}; csrftoken={token}"})
    with pytest.raises(urllib.error.HTTPError) as answer:
        urllib.request.build_opener(Stay).open(sent).close()
    with answer.value:
        assert answer.value.code == 302, answer.value.read()
        return answer.value.headers


def post(server: Server, session: str, path: str, **fields: object) -> None:
    """Send a form of the admin's."""
    assert "login" not in send_form(server, f"sessionid={session}", path, **fields)["Location"]


def sign_in(server: Server, name: str) -> str:
    """The key of a new session, by the form that people use."""
    form = {"username": name, "password": PASSWORD, "next": "/"}
    headers = send_form(server, "", "/accounts/login/", **form)
    cookies = SimpleCookie("; ".join(headers.get_all("Set-Cookie", [])))
    return cookies["sessionid"].value

"""Who fans out events, each on core 0: Nchan, this server, the same under uvicorn, django-eventstream.

Nchan is Debian's libnginx-mod-nchan; NCHAN may say where its module lies.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from getpass import getuser
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from bench.peers.candidate import PINNED, Candidate, LeftOut, program, running, version_of
from tests.system.harness import PASSWORD, ROOT, Server, free_port

MODULE = Path(os.environ.get("NCHAN", "/usr/lib/nginx/modules/ngx_nchan_module.so"))
SETTINGS = {"DJANGO_SETTINGS_MODULE": "bench.peers.publishing_settings"}
MORE_CONNECTIONS = {"GUNICORN_CMD_ARGS": "--worker-connections 10000"}  # than the 4,000 it takes otherwise
MAKE = """
from mediastream.feeds.models import Topic
from mediastream.feeds.known import known
print(known(Topic.objects.create(name="bench", visibility="public")).token)
"""
OURS = {"sse": "/feeds/bench/events", "ws": "/ws/feeds/bench/"}
NGINX = """
daemon off; user {user}; worker_processes 1; pid {folder}/pid; error_log {folder}/log; load_module {module};
events {{ worker_connections 20000; }}
http {{
  access_log off; keepalive_requests 1000000000;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location = / {{ return 200; }}
    location = /publish {{ nchan_publisher; nchan_channel_id bench; nchan_message_buffer_length 1000; }}
    nchan_subscriber_first_message newest;
    location = /events {{ nchan_subscriber eventsource; nchan_channel_id bench; }}
    location = /socket {{ nchan_subscriber websocket; nchan_channel_id bench; }}
  }}
}}
"""


@dataclass(frozen=True)
class Peer:
    """`ways`: where its topic is read, by kind of reader; `in_process`: whether its own process can be told to
    publish."""

    candidate: Candidate
    ways: dict[str, str]
    publish: str
    headers: str = ""
    in_process: bool = False

    @property
    def key(self) -> str:
        return self.candidate.key


@contextmanager
def nchan(folder: Path) -> Iterator[Peer]:
    nginx, port = program("nginx"), free_port()
    if not MODULE.exists():
        raise LeftOut("libnginx-mod-nchan is not installed")
    home, configuration = folder / "nchan", folder / "nchan.conf"
    home.mkdir(mode=0o755)
    configuration.write_text(NGINX.format(folder=home, module=MODULE, port=port, user=getuser()))
    argv = [nginx, "-p", str(home), "-c", str(configuration)]
    with running("nchan", "Nchan", version_of(nginx, "-v"), argv, port, "/") as (candidate,):
        yield Peer(candidate, {"sse": "/events", "ws": "/socket"}, "/publish")


@contextmanager
def mediastream(folder: Path) -> Iterator[Peer]:
    server = Server.start(folder / "data", prefix=PINNED, **SETTINGS, **MORE_CONNECTIONS)
    try:
        process = psutil.Process(server.process.pid)
        yield ours(Candidate("mediastream", "mediastream", server.port, "/", process), make_topic(server))
    finally:
        server.stop()


@contextmanager
def under_uvicorn(folder: Path) -> Iterator[Peer]:
    """What any ASGI server gets of us."""
    server = Server.start(folder / "data-uvicorn")
    token = make_topic(server)
    server.stop()
    settings = {**SETTINGS, "MEDIASTREAM_DATA_DIR": str(server.data_dir), "MEDIASTREAM_ADMIN_PASSWORD": PASSWORD}
    argv, port = uvicorn("mediastream.asgi:application")
    name = "mediastream under uvicorn"
    with running("under_uvicorn", name, version("uvicorn"), argv, port, "/healthz/live", **settings) as (candidate,):
        yield ours(candidate, token)


@contextmanager
def eventstream(folder: Path) -> Iterator[Peer]:
    try:
        number = version("django-eventstream")
    except PackageNotFoundError:
        raise LeftOut("django-eventstream is not installed") from None
    argv, port = uvicorn("bench.peers.stock_feed:application")
    with running("eventstream", "django-eventstream, uvicorn", number, argv, port, "/") as (candidate,):
        yield Peer(candidate, {"sse": "/events"}, "/publish")


def uvicorn(application: str) -> tuple[list[str], int]:
    port = free_port()
    fast = ["--loop", "uvloop", "--http", "httptools", "--ws", "wsproto", "--backlog", "4096"]
    quiet = ["--no-access-log", "--log-level", "error"]
    return [program("uvicorn", ROOT / ".venv/bin"), "--port", str(port), *fast, *quiet, application], port


def make_topic(server: Server) -> str:
    """Its token."""
    return server.manage("shell", "-v", "0", "-c", MAKE).split()[-1]


def ours(candidate: Candidate, token: str) -> Peer:
    return Peer(candidate, OURS, "/feeds/bench/publish", f"Authorization: Bearer {token}\r\n", in_process=True)


STARTS: dict[str, Callable[[Path], AbstractContextManager[Peer]]] = {
    start.__name__: start for start in (nchan, mediastream, under_uvicorn, eventstream)
}

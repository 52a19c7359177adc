"""nginx: one worker, sendfile, as Debian ships it otherwise.

A connection is not closed after a thousand requests, which is nginx's default and would be counted as errors.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from getpass import getuser
from pathlib import Path

from bench.peers.candidate import Candidate, program, running, version_of
from tests.system.harness import free_port

CONFIGURATION = """
daemon off;
user {user};
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    sendfile on;
    keepalive_requests 1000000000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{ listen 127.0.0.1:{port}; root {root}; }}
}}
"""


@contextmanager
def start(folder: Path, film: Path) -> Iterator[list[Candidate]]:
    nginx, port = program("nginx"), free_port()
    configuration = folder / "nginx.conf"
    configuration.write_text(CONFIGURATION.format(folder=folder, root=film.parent, port=port, user=getuser()))
    with running("nginx", "nginx", version_of(nginx, "-v"), [nginx, "-c", str(configuration)], port) as candidates:
        yield candidates

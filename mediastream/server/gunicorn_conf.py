"""gunicorn's configuration, from the same environment as everything else.

The arbiter kills workers a while after `graceful_timeout`, so it is the download grace plus what the
worker needs to close the rest.
"""

import math
import sys

from mediastream.environment import bracketed, read

_environment = read()

wsgi_app = "mediastream.asgi:application"
worker_class = "mediastream.server.worker.MediaWorker"
workers = 1
bind = f"{bracketed(_environment.host)}:{_environment.port}"
backlog = 2048
worker_connections = 4000
asgi_loop = "uvloop"
asgi_lifespan = "on"
keepalive = 30
graceful_timeout = math.ceil(_environment.download_grace) + 2
timeout = 60
# Whom X-Forwarded-Proto is believed from. gunicorn's default would believe every local process.
forwarded_allow_ips = ",".join(_environment.trusted_proxies)
control_socket_disable = True
proc_name = "mediastream"


def when_ready(server: object) -> None:
    """Say where a browser on this machine finds the site, now that it listens."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(_environment.host, _environment.host)  # noqa: S104
    print(f"mediastream: http://{bracketed(host)}:{_environment.port}/", file=sys.stderr, flush=True)

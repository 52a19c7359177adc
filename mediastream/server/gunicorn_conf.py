"""gunicorn's configuration, from the same environment as everything else.

The arbiter kills workers a while after `graceful_timeout`, so it is the download grace plus what the
worker needs to close the rest.

It counts every worker it has, and so would take one that only finishes its downloads for one that serves. The
newest is the one that serves; the last three functions see to it that there is one.
"""

import math
import sys
from typing import Any

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
websocket_max_message_size = 64 * 1024  # bytes from a page
control_socket_disable = True
logger_class = "mediastream.server.logger.MaskingLogger"
# For whoever turns the access log on: the path alone, as a query may hold a ticket, and so may the address of the
# page that one came from. Its place is kept, as programs that read the log count on it.
access_log_format = '%(h)s %(l)s %(u)s %(t)s "%(m)s %(U)s %(H)s" %(s)s %(b)s "-" "%(a)s"'
proc_name = "mediastream"


def when_ready(server: Any) -> None:
    """Say where a browser on this machine finds the site, now that it listens."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(_environment.host, _environment.host)  # noqa: S104
    print(f"mediastream: http://{bracketed(host)}:{_environment.port}/", file=sys.stderr, flush=True)


def nworkers_changed(server: Any, new: int, old: int | None) -> None:
    """TTIN, by which a worker calls its successor (worker.py): one more, whoever still finishes downloads."""
    if old is not None and new > old and len(server.WORKERS) >= new:
        server.spawn_worker()


def post_fork(server: Any, worker: Any) -> None:
    """Such a successor is one more than there should be, until it tells the arbiter that it is ready."""
    worker.follows = server.num_workers > worker.cfg.workers


def child_exit(server: Any, worker: Any) -> None:
    """Replace the newest worker when it dies while older ones finish their downloads; stopping, nobody listens."""
    if worker.age == server.worker_age and len(server.WORKERS) >= server.num_workers and server.LISTENERS:
        server.spawn_worker()

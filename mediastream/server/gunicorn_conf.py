"""gunicorn's configuration, from the same environment as everything else.

The arbiter kills workers a while after `graceful_timeout`, so it is the download grace plus what the
worker needs to close the rest.
"""

import math

from mediastream.environment import read

_environment = read()

wsgi_app = "mediastream.asgi:application"
worker_class = "mediastream.server.worker.MediaWorker"
workers = 1
bind = (
    f"[{_environment.host}]:{_environment.port}"
    if ":" in _environment.host
    else (f"{_environment.host}:{_environment.port}")
)
backlog = 2048
asgi_loop = "uvloop"
asgi_lifespan = "on"
keepalive = 30
graceful_timeout = math.ceil(_environment.download_grace) + 2
timeout = 60
# Whom X-Forwarded-Proto is believed from. gunicorn's default would believe every local process.
forwarded_allow_ips = ",".join(_environment.trusted_proxies)
control_socket_disable = True
proc_name = "mediastream"

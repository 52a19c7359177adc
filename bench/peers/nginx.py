"""nginx's configuration: one worker, sendfile, as Debian ships it otherwise."""

from getpass import getuser
from pathlib import Path

CONFIGURATION = """
daemon off;
user {user};
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    sendfile on;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{ listen 127.0.0.1:{port}; root {root}; }}
}}
"""


def configuration(folder: Path, root: Path, port: int) -> Path:
    path = folder / "nginx.conf"
    path.write_text(CONFIGURATION.format(folder=folder, root=root, port=port, user=getuser()))
    return path

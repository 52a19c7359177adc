"""Reverse proxies as real processes, under the very configurations that docs/deploy.md prints.

A block is taken out of the page, its ports, names and folders are replaced, and what Debian's main
configuration says around it stands here. A replacement that finds nothing fails: then the page has changed.
"""

import os
import pwd
import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.system.harness import ROOT, free_port, wait_until

PAGE = ROOT / "docs" / "deploy.md"
APACHE_MODULES = Path("/usr/lib/apache2/modules")


def block(heading: str, word: str) -> str:
    """The one indented block under `heading` that has `word` in it."""
    _, _, below = PAGE.read_text().partition(f"\n{heading}\n")
    found: list[list[str]] = [[]]
    for line in below.splitlines():
        if line.startswith("#"):
            break
        if line.startswith("    "):
            found[-1].append(line[4:])
        elif line:
            found.append([])
        else:
            found[-1].append("")
    blocks = ["\n".join(lines) for lines in found if word in "\n".join(lines)]
    assert len(blocks) == 1, f"{len(blocks)} blocks with {word} under {heading}"
    return blocks[0]


def replaced(text: str, replacements: dict[str, str]) -> str:
    for old, new in replacements.items():
        assert old in text, f"docs/deploy.md has no {old}"
        text = text.replace(old, new)
    return text


@dataclass(frozen=True)
class Certificate:
    """For localhost, signed by itself."""

    certificate: Path
    key: Path

    @classmethod
    def make(cls, folder: Path) -> "Certificate":
        made = cls(folder / "certificate.pem", folder / "key.pem")
        kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
        name = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
        files = ["-keyout", str(made.key), "-out", str(made.certificate)]
        subprocess.run(["openssl", "req", "-x509", *kind, *name, *files], check=True, capture_output=True)
        made.key.chmod(0o644)
        return made

    def context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.certificate))


NO_CERTIFICATE = Certificate(Path(), Path())


@dataclass
class Site:
    """What a configuration is filled in with. `folder`: the proxy's own; `plain`: its port without TLS."""

    folder: Path
    certificate: Certificate
    port: int
    plain: int
    upstream: int
    media: Path


@dataclass
class Proxy:
    process: subprocess.Popen[bytes]
    site: Site

    @property
    def program(self) -> str:
        return Path(str(self.process.args[0])).name  # type: ignore[index]

    @property
    def log(self) -> str:
        return (self.site.folder / "log").read_text(errors="replace")

    @classmethod
    def start(cls, argv: list[str], site: Site) -> "Proxy":
        """As the user that Debian gives to web servers, if we may: it must get by on what the page grants it."""
        user = web_user()
        if user is not None:
            os.chown(site.folder, user, -1)
        home = {"HOME": str(site.folder), "XDG_DATA_HOME": str(site.folder), "XDG_CONFIG_HOME": str(site.folder)}
        with (site.folder / "log").open("wb") as log:
            process = subprocess.Popen(
                argv, stdout=log, stderr=log, user=user, group=user, extra_groups=None if user is None else [],
                env={**os.environ, **home}, cwd=site.folder,
            )  # fmt: skip
        proxy = cls(process, site)
        try:
            wait_until(proxy.listens, 20, "the proxy to listen")
        except BaseException:
            proxy.stop()
            raise
        return proxy

    def listens(self) -> bool:
        assert self.process.poll() is None, f"{self.process.args!r} ended: {self.log[-2000:]}"
        try:
            socket.create_connection(("127.0.0.1", self.site.port), timeout=2).close()
        except OSError:
            return False
        return True

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


def web_user() -> int | None:
    if os.getuid() != 0:
        return None
    try:
        return pwd.getpwnam("www-data").pw_uid
    except KeyError:
        return None


def grant(data_dir: Path) -> None:
    """What the page says of the data folder; www-data's own group stands for its membership in mediastream's."""
    if (user := web_user()) is not None:
        os.chown(data_dir, -1, user)
    data_dir.chmod(0o710)
    for path in data_dir.glob("mediastream.sqlite3*"):
        path.chmod(0o600)


NGINX = """
daemon off;
worker_processes 1;
pid nginx.pid;
error_log stderr;
events {{ worker_connections 512; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    gzip on;
    types {{ video/mp4 mp4; image/jpeg jpg; }}
    default_type application/octet-stream;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    {site}
}}
"""


def run_nginx(configuration: str, site: Site) -> Proxy:
    tls = {
        "listen 443 ssl http2;": f"listen 127.0.0.1:{site.port} ssl http2;",
        "/etc/letsencrypt/live/media.example.org/fullchain.pem": str(site.certificate.certificate),
        "/etc/letsencrypt/live/media.example.org/privkey.pem": str(site.certificate.key),
        "media.example.org": "localhost",
    }
    return start_nginx(replaced(configuration, tls), site)


def start_nginx(servers: str, site: Site) -> Proxy:
    path = site.folder / "nginx.conf"
    path.write_text(NGINX.format(site=servers))
    return Proxy.start([program("nginx"), "-p", str(site.folder), "-c", str(path), "-e", "stderr"], site)


def nginx(site: Site, sendfile: bool) -> Proxy:
    configuration = block("## nginx", "listen 443")
    if sendfile:
        location = block("## Files sent by the proxy", "location /_stored/")
        location = replaced(location, {"/var/lib/mediastream/media": str(site.media)})
        configuration = replaced(configuration, {"location / {": location + "\nlocation / {"})
    here = {"listen 80;": f"listen 127.0.0.1:{site.plain};", "127.0.0.1:8000": f"127.0.0.1:{site.upstream}"}
    return run_nginx(replaced(configuration, here), site)


PLAIN = """
server {{
    listen 127.0.0.1:{site.port};
    location / {{ proxy_pass http://127.0.0.1:{site.upstream}; }}
    location /ws/ {{
        proxy_http_version 1.1;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection "upgrade";
        proxy_pass http://127.0.0.1:{site.upstream};
    }}
}}
"""


def plain_nginx(site: Site) -> Proxy:
    """As somebody sets it up who has read nothing of ours: defaults, and what a WebSocket cannot do without."""
    return start_nginx(PLAIN.format(site=site), site)


def nginx_cache(site: Site) -> Proxy:
    """The cache in front of another proxy at `upstream`, whose certificate it checks."""
    here = {
        "/var/cache/nginx/mediastream": str(site.folder / "cache"),
        "origin.example.org": f"localhost:{site.upstream}",
        "/etc/ssl/certs/ca-certificates.crt": str(site.certificate.certificate),
    }
    return run_nginx(replaced(block("### nginx as a cache of your own", "proxy_cache_path"), here), site)


CADDY = "{\n    admin off\n    auto_https disable_redirects\n    skip_install_trust\n}\n"


def caddy(site: Site, sendfile: bool) -> Proxy:
    configuration = block("## Caddy", "reverse_proxy")
    if sendfile:
        configuration = block("## Files sent by the proxy", "reverse_proxy")
        configuration = replaced(configuration, {"/var/lib/mediastream/media": str(site.media)})
    address = f"https://localhost:{site.port} {{\nbind 127.0.0.1\n"
    address += f"tls {site.certificate.certificate} {site.certificate.key}"
    here = {"media.example.org {": address, "127.0.0.1:8000": f"127.0.0.1:{site.upstream}"}
    path = site.folder / "Caddyfile"
    path.write_text(CADDY + replaced(configuration, here))
    return Proxy.start([program("caddy"), "run", "--adapter", "caddyfile", "--config", str(path)], site)


APACHE = """
ServerRoot {folder}
ServerName localhost
PidFile {folder}/apache.pid
ErrorLog {folder}/error.log
DefaultRuntimeDir {folder}
Mutex file:{folder} default
Listen 127.0.0.1:{port}
{modules}
{site}
"""


def apache(site: Site, sendfile: bool) -> Proxy:
    names = ["mpm_event", "authz_core", "ssl", "headers", "proxy", "proxy_http", *(["xsendfile"] if sendfile else [])]
    modules = "\n".join(f"LoadModule {name}_module {APACHE_MODULES}/mod_{name}.so" for name in names)
    configuration = block("## Apache", "<VirtualHost")
    if sendfile:
        lines = block("## Files sent by the proxy", "XSendFilePath")
        lines = replaced(lines, {"/var/lib/mediastream/media": str(site.media)})
        configuration = replaced(configuration, {"</VirtualHost>": lines + "\n</VirtualHost>"})
    here = {
        "*:443": f"*:{site.port}",
        "127.0.0.1:8000": f"127.0.0.1:{site.upstream}",
        "/etc/letsencrypt/live/media.example.org/fullchain.pem": str(site.certificate.certificate),
        "/etc/letsencrypt/live/media.example.org/privkey.pem": str(site.certificate.key),
        "media.example.org": "localhost",
    }
    text = APACHE.format(folder=site.folder, port=site.port, modules=modules, site=replaced(configuration, here))
    path = site.folder / "apache.conf"
    path.write_text(text)
    return Proxy.start([program("apache2"), "-f", str(path), "-DFOREGROUND"], site)


START: dict[str, Callable[[Site, bool], Proxy]] = {"nginx": nginx, "caddy": caddy, "apache": apache}
SENDFILE = {
    "nginx": "x-accel-redirect=/_stored/",
    "caddy": "x-accel-redirect=/_stored/",
    "apache": "x-sendfile",
}


def program(name: str) -> str:
    """Debian keeps servers in a folder that is not on everybody's PATH."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    assert found is not None
    return found


def missing(name: str, *, sendfile: bool = False) -> str | None:
    """Why this proxy cannot be tried here."""
    binary = {"apache": "apache2"}.get(name, name)
    for needed in (binary, "openssl"):
        if shutil.which(needed, path=f"{os.environ.get('PATH', '')}:/usr/sbin") is None:
            return f"no {needed}"
    if name == "apache" and sendfile and not (APACHE_MODULES / "mod_xsendfile.so").exists():
        return "no mod_xsendfile"
    return None


def new_site(folder: Path, certificate: Certificate, upstream: int, media: Path) -> Site:
    folder.mkdir()
    return Site(folder, certificate, free_port(), free_port(), upstream, media)

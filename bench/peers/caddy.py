"""Caddy: file_server, no access log (its default), no TLS, one core by GOMAXPROCS as by its affinity."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.peers.candidate import Candidate, program, running, version_of
from tests.system.harness import free_port

CONFIGURATION = """
{{
    admin off
    auto_https off
}}
http://:{port} {{
    bind 127.0.0.1
    root * {root}
    file_server
}}
"""


@contextmanager
def start(folder: Path, film: Path) -> Iterator[list[Candidate]]:
    caddy, port = program("caddy"), free_port()
    configuration = folder / "Caddyfile"
    configuration.write_text(CONFIGURATION.format(root=film.parent, port=port))
    argv = [caddy, "run", "--config", str(configuration), "--adapter", "caddyfile"]
    homes = {"XDG_CONFIG_HOME": str(folder / "caddy"), "XDG_DATA_HOME": str(folder / "caddy"), "GOMAXPROCS": "1"}
    with running("caddy", "caddy", version_of(caddy, "version"), argv, port, **homes) as candidates:
        yield candidates

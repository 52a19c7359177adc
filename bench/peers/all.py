"""Who is measured, in the order of the table: the keys of candidates -> what starts them together."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from bench.peers import asgi, caddy, mediastream, nginx
from bench.peers.candidate import Candidate

Start = Callable[[Path, Path], AbstractContextManager[list[Candidate]]]

STARTS: dict[tuple[str, ...], Start] = {
    ("nginx",): nginx.start,
    ("caddy",): caddy.start,
    **{(name,): start for name, start in asgi.STARTS.items()},
    ("mediastream", "private", "different"): mediastream.start,
    ("chunks",): mediastream.start_chunks,
}
KEYS = [key for keys in STARTS for key in keys]

"""Byte ranges: this server beside nginx, Caddy and plain Django, alternating in one run, each on core 0.

The client (loadclient.c) is on core 1 and drops bodies in the kernel. Random ranges of 64 KiB and 1 MiB, and
open-ended seeks that hang up after 256 KiB, as a seeking player does. Medians of rounds in which the candidates
take turns, as ratios of nginx: figures drift twofold on shared machines, ratios less.

The file lies in memory and on disk before anything is measured: while its pages are still being written back,
sendfile waits for them, and nginx was seen at a tenth of its rate.

All candidates are measured at 16 connections; at the other numbers nginx, Caddy, this server, and plain Django
under that server which did best at 16. With options, to look at a part of it, the results are not kept.
"""

import argparse
import os
import struct
import sys
import tempfile
import urllib.request
from contextlib import ExitStack
from pathlib import Path

from bench.load import KINDS, LoadClient, Run, rounds
from bench.paused import Paused, paused
from bench.peers.all import KEYS, STARTS
from bench.peers.candidate import Candidate, LeftOut
from bench.ranges_report import PLAIN, Measured, best, text
from bench.report import keep, on_core
from tests.media import Clips

SIZE = 256 * 1024 * 1024
CONNECTIONS = (1, 16, 64, 256)
EVERYBODY = 16  # the number of connections at which all are measured, five times; at others three
SECONDS = 1.5
CLIENTS = 500
# Whose memory is measured. The other servers of plain Django read all the file for each client that has left,
# for minutes.
REMEMBERED = ("nginx", "caddy", "gunicorn", "mediastream", "chunks")


def main() -> None:
    options = arguments()
    on_core(1)
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        film = padded(Clips(folder)["h264.mp4"], folder / "file.mp4")
        candidates, left_out = started(folder, film, options.only or KEYS, stack)
        for path in folder.rglob("*.mp4"):
            make_warm(path)
        for candidate in candidates:
            check(candidate, film)
        measured = Measured(candidates, left_out, options.paused, {}, measure_paused(candidates, options.paused))
        client = LoadClient(folder, SIZE)
        for connections in sorted(options.connections, key=lambda number: number != EVERYBODY):
            measured.runs[connections] = measure(client, measured, connections, options)
    print(text(measured))
    if len(sys.argv) == 1:
        keep("ranges", text(measured))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.ranges", description=__doc__)
    keys, numbers = (lambda text: text.split(",")), (lambda text: [int(number) for number in text.split(",")])
    parser.add_argument("--only", type=keys, help=f"some of {','.join(KEYS)}")
    parser.add_argument("--connections", type=numbers, default=list(CONNECTIONS), help="such as 16,256")
    parser.add_argument("--kinds", type=keys, default=list(KINDS), help=f"some of {','.join(KINDS)}")
    parser.add_argument("--rounds", type=int, help="of each candidate")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each run")
    parser.add_argument("--paused", type=int, default=CLIENTS, help="paused clients; 0 leaves their memory out")
    options = parser.parse_args()
    if unknown := {*(options.only or []), *options.kinds} - {*KEYS, *KINDS}:
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    return options


def padded(clip: Path, target: Path) -> Path:
    """A real film made large by an MP4 box of type `free`, which players pass over."""
    content = clip.read_bytes()
    with target.open("wb") as file:
        file.write(content + struct.pack(">I4s", SIZE - len(content), b"free"))
        while file.tell() < SIZE:
            file.write(os.urandom(min(1 << 20, SIZE - file.tell())))
    return target


def started(folder: Path, film: Path, keys: list[str], stack: ExitStack) -> tuple[list[Candidate], list[str]]:
    """Those of `keys`, running until the stack ends, and a line for each that cannot be."""
    candidates, left_out = [], []
    for together, start in STARTS.items():
        if set(together) & set(keys):
            try:
                candidates += stack.enter_context(start(folder, film))
            except LeftOut as reason:
                left_out.append(f"Left out: {reason}.")
                print(left_out[-1], file=sys.stderr)
    return [candidate for candidate in candidates if candidate.key in keys], left_out


def make_warm(path: Path) -> None:
    """On disk, so that its pages are clean, and in memory."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        while file.read(1 << 20):
            pass


def check(candidate: Candidate, film: Path) -> None:
    """Right bytes first: the load client looks at lengths alone."""
    first, last = SIZE // 3, SIZE // 3 + 300_000
    headers = {"Range": f"bytes={first}-{last}", **candidate.headers()}
    request = urllib.request.Request(f"http://127.0.0.1:{candidate.port}{candidate.path}", headers=headers)
    with urllib.request.urlopen(request, timeout=20) as answer, film.open("rb") as file:
        file.seek(first)
        right = answer.status == 206 and answer.read() == file.read(last + 1 - first)
    assert right, f"{candidate.name} answers with other bytes"


def measure_paused(candidates: list[Candidate], clients: int) -> dict[str, Paused]:
    """Before any load, whose memory would be there to use again."""
    memory = {}
    for candidate in candidates if clients else []:
        if candidate.key in REMEMBERED:
            print(f"bench ranges: {clients} paused clients, {candidate.name}", file=sys.stderr)
            memory[candidate.key] = paused(candidate, clients)
    return memory


def measure(
    client: LoadClient, measured: Measured, connections: int, options: argparse.Namespace
) -> dict[str, dict[str, Run]]:
    candidates, number = measured.candidates, options.rounds or (5 if connections == EVERYBODY else 3)
    if connections != EVERYBODY and not options.only and EVERYBODY in measured.runs:
        plain = best(measured.runs[EVERYBODY][options.kinds[0]], PLAIN)
        candidates = [each for each in candidates if each.key in ("nginx", "caddy", "mediastream", plain)]
    results = {}
    for kind in options.kinds:
        print(f"bench ranges: {connections} connections, {kind}", file=sys.stderr)
        results[kind] = rounds(client, candidates, kind, connections, number, options.seconds)
    return results


if __name__ == "__main__":
    main()

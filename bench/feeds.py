"""One topic, many readers: this server beside Nchan, the same under uvicorn, and django-eventstream.

Ten events a second of 200 bytes to 100, 1,000 and 5,000 event streams and to 1,000 WebSockets; bursts of 10,000 events
to 100, published by HTTP and by the server's own process, beside the same events one at a time. Servers are on core 0,
the readers (readers.c) and who publishes by HTTP on core 1. Candidates take turns; the figures are medians of rounds,
as the machine's own load drifts. Processor time is of all of a server's processes.

A load takes up to three minutes, and what it found is kept beside that of the others: --load and --only say what is
measured now.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench import feeds_report, publishing, reading
from bench.feeds_report import Figures
from bench.load import rest
from bench.peers.candidate import LeftOut
from bench.peers.feeds import STARTS, Peer
from bench.report import on_core

SETTLING = 1.0  # seconds between the last reader's connecting and the first event
IDLE = 1.0  # seconds


@dataclass(frozen=True)
class Load:
    """`way`: sse or ws; `rate`: events a second, 0 for a burst."""

    way: str
    readers: int
    events: int = 50
    rate: int = 10
    in_process: bool = False

    def suits(self, peer: Peer) -> bool:
        return self.way in peer.ways and (peer.in_process or not self.in_process)


BURST = 10_000
LOADS = {
    "sse-100": Load("sse", 100),
    "sse-1000": Load("sse", 1000),
    "sse-5000": Load("sse", 5000),
    "ws-1000": Load("ws", 1000),
    "burst-by-http": Load("sse", 100, BURST, rate=0),
    "burst-in-process": Load("sse", 100, BURST, rate=0, in_process=True),
    "singly-in-process": Load("sse", 100, in_process=True),
}


def main() -> None:
    options = parsed()
    on_core(1)
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)
        program = reading.build(folder)
        peers = list(started(folder, options.only, stack))
        for load in options.load:
            found = measured(program, peers, load, options.rounds)
            if len(options.only) == len(STARTS):
                feeds_report.keep(load, found)
            print(feeds_report.table(load, found))


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.feeds", description=__doc__)
    parser.add_argument("--load", action="append", choices=LOADS, help="instead of all; may be repeated")
    parser.add_argument("--only", action="append", choices=STARTS, help="these servers alone; nothing is kept then")
    parser.add_argument("--rounds", type=int, default=5, help="of each server")
    options = parser.parse_args()
    options.load, options.only = options.load or list(LOADS), options.only or list(STARTS)
    return options


def started(folder: Path, keys: list[str], stack: ExitStack) -> Iterator[Peer]:
    for key in keys:
        try:
            yield stack.enter_context(STARTS[key](folder))
        except LeftOut as reason:
            print(f"bench feeds leaves out {key}: {reason}", file=sys.stderr)


def measured(program: Path, peers: list[Peer], name: str, rounds: int) -> dict[str, Figures]:
    load = LOADS[name]
    found: dict[str, list[Figures]] = {peer.key: [] for peer in peers if load.suits(peer)}
    for number in range(rounds):
        for peer in peers:
            if load.suits(peer):
                figures = once(program, peer, load)
                print(f"bench feeds: {name}, round {number + 1}, {peer.key}: {figures}", file=sys.stderr)
                found[peer.key].append(figures)
    return {key: Figures.median(each) for key, each in found.items()}


def once(program: Path, peer: Peer, load: Load) -> Figures:
    candidate = peer.candidate
    rest(candidate)
    memory = candidate.user_memory()
    with reading.Readers(program, load.way, candidate.port, peer.ways[load.way], load.readers) as readers:
        time.sleep(SETTLING)
        memory = candidate.user_memory() - memory
        idle = candidate.cpu()
        time.sleep(IDLE)
        cpu = candidate.cpu()
        idle = (cpu - idle) / IDLE
        publish(peer, load)
        read = readers.finish(load.events)
        cpu = candidate.cpu() - cpu
    return Figures(
        cpu=cpu / max(read.events, 1) * 1e6, idle=idle, p50=read.p50, p99=read.p99, memory=memory / load.readers,
        connects=load.readers / readers.seconds, lost=read.lost, told=read.told, repeats=read.repeats,
        ended=read.ended, writes=read.reads / max(read.events, 1), client=read.client,
    )  # fmt: skip


def publish(peer: Peer, load: Load) -> None:
    port = peer.candidate.port
    if load.in_process:
        publishing.in_process(port, "bench", load.events, load.rate)
    else:
        asyncio.run(publishing.by_http(port, peer.publish, peer.headers, load.events, load.rate))


if __name__ == "__main__":
    main()

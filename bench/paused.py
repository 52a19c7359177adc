"""What a client costs that has asked for the whole file and then reads nothing, as a paused player does.

User memory is what the server's processes own alone (USS), its growth divided by the clients. The send queue is
what the kernel holds for each (tx_queue of proc_net_tcp(5)): copies under a server that writes bytes, references
to the page cache under one that uses sendfile.
"""

import socket
import statistics
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.load import rest
from bench.peers.candidate import Candidate
from tests.system.harness import request

ESTABLISHED = "01"
WARM_UP = 30  # clients that come and go first, so that what any traffic allocates once is there
SETTLED = 60.0  # seconds at most until that many clients are served and the queues stand still


@dataclass(frozen=True)
class Paused:
    """Bytes for each client."""

    user: float
    queue: float


def paused(candidate: Candidate, clients: int) -> Paused:
    with ExitStack() as stack:
        ask(candidate, WARM_UP, stack)
        settled(candidate, WARM_UP)
    rest(candidate)
    before = candidate.user_memory()
    with ExitStack() as stack:
        ask(candidate, clients, stack)
        queues = settled(candidate, clients)
        figures = Paused((candidate.user_memory() - before) / clients, statistics.mean(queues))
    rest(candidate)
    return figures


def ask(candidate: Candidate, clients: int, stack: ExitStack) -> None:
    headers = [f"{name}: {value}" for name, value in candidate.headers().items()]
    for _ in range(clients):
        connection = stack.enter_context(socket.create_connection(("127.0.0.1", candidate.port), timeout=20))
        connection.sendall(request(candidate.path, *headers))


def settled(candidate: Candidate, clients: int) -> list[int]:
    """The send queues, once there is one for each client, none is empty, and they have stood still for a second."""
    deadline = time.monotonic() + SETTLED
    before: list[int] = []
    while time.monotonic() < deadline:
        queues = send_queues(candidate.port)
        if queues == before and len(queues) == clients and all(queues):
            return queues
        before = queues
        time.sleep(1)
    waiting = sum(map(bool, before))
    raise AssertionError(f"{candidate.name}: {waiting} of {clients} paused clients are served after {SETTLED:.0f} s")


def send_queues(port: int) -> list[int]:
    queues = []
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, _, state, queued = line.split()[:5]
        if state == ESTABLISHED and int(local.rpartition(":")[2], 16) == port:
            queues.append(int(queued.partition(":")[0], 16))
    return queues

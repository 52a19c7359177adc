"""What does compression save of a feed, and what does it cost? The simulated market at ten events a second.

Bytes: event streams of the same events, plain and in each coding, all at once; beside them, for the second figure,
readers that come and go all the while, for each of whom the shared stream has to forget what it knows. CPU: the
worker's, for each event delivered to each of many readers, in rounds of one coding each that alternate, as the
machine's own load drifts.
"""

import asyncio
import os
import resource
import statistics
import tempfile
import time
from pathlib import Path

import uvloop

from bench.report import Table, on_core
from tests.decoding import Decoder
from tests.system.harness import Server

READERS = int(os.environ.get("READERS", "1000"))
RATE = 10  # events a second
SECONDS = 6.0  # of a round
LONG = 25.0  # seconds in which bytes are counted
ROUNDS = 3
CONNECTING = 100  # at a time
COMING = 0.5  # seconds between two readers that come and go
CODINGS = ("identity", "gzip", "zstd")
MAKE = f"""
from mediastream.feeds.models import Topic
Topic.objects.create(name="bench", visibility="public", key_field="symbol", source="simulator", rate={RATE})
"""


class Reader(asyncio.Protocol):
    """`size`: bytes of the body so far, with what frames them as chunks."""

    def __init__(self, coding: str) -> None:
        self.coding = coding
        self.opened = asyncio.get_running_loop().create_future()
        self.size = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        head = f"GET /feeds/bench/events HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: {self.coding}\r\n\r\n"
        transport.write(head.encode())  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        if not self.opened.done():
            assert data.startswith(b"HTTP/1.1 200"), data
            assert (b"Content-Encoding" in data) == (self.coding != "identity"), data
            self.opened.set_result(None)
        else:
            self.size += len(data)


class Counter(Reader):
    """`events`: delivered to it; `body`: their bytes as they are sent, out of their chunks."""

    def __init__(self, coding: str) -> None:
        super().__init__(coding)
        self._decoder = Decoder(coding)
        self._received = b""
        self.events = self.body = 0

    def data_received(self, data: bytes) -> None:
        first = not self.opened.done()
        super().data_received(data)
        self._received += data.partition(b"\r\n\r\n")[2] if first else data
        while len((parts := self._received.partition(b"\r\n"))[2]) >= int(parts[0] or b"fffff", 16) + 2:
            size = int(parts[0], 16)
            chunk, self._received = parts[2][:size], parts[2][size + 2 :]
            self.body += size
            self.events += self._decoder.feed(chunk).count(b"\ndata: ")


async def connect(port: int, made: list[Reader]) -> None:
    loop = asyncio.get_running_loop()
    for at in range(0, len(made), CONNECTING):
        some = made[at : at + CONNECTING]
        await asyncio.gather(*(loop.create_connection(lambda r=reader: r, "127.0.0.1", port) for reader in some))
        await asyncio.gather(*(reader.opened for reader in some))


async def cost(server: Server, coding: str) -> float:
    """Microseconds of the worker for each event of each reader."""
    counter = Counter(coding)
    readers = [counter, *(Reader(coding) for _ in range(READERS - 1))]
    await connect(server.port, readers)
    await asyncio.sleep(1)
    worker, before = server.worker(), counter.events
    used = sum(worker.cpu_times()[:2])
    await asyncio.sleep(SECONDS)
    used = sum(worker.cpu_times()[:2]) - used
    delivered = (counter.events - before) * READERS
    for reader in readers:
        reader.transport.close()
    await asyncio.sleep(1)
    return used / delivered * 1e6


async def sizes(server: Server, *, coming: bool) -> dict[str, float]:
    """Bytes for each event."""
    counters = [Counter(coding) for coding in CODINGS]
    await connect(server.port, list(counters))
    began = time.monotonic()
    while time.monotonic() - began < LONG:
        if coming:
            visitors = [Reader(coding) for coding in CODINGS[1:]]
            await connect(server.port, list(visitors))
        await asyncio.sleep(COMING)
        if coming:
            for visitor in visitors:
                visitor.transport.close()
    for counter in counters:
        counter.transport.close()
    return {counter.coding: counter.body / counter.events for counter in counters}


def main() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    on_core(1)
    costs: dict[str, list[float]] = {coding: [] for coding in CODINGS}
    with tempfile.TemporaryDirectory() as name:
        server = Server.start(Path(name) / "data", prefix=("taskset", "-c", "0"))
        try:
            server.manage("shell", "-v", "0", "-c", MAKE)
            steady, busy = (uvloop.run(sizes(server, coming=coming)) for coming in (False, True))
            for _ in range(ROUNDS):
                for coding in CODINGS:
                    costs[coding].append(uvloop.run(cost(server, coding)))
        finally:
            server.stop()
    table = Table("compressed", f"the market, {RATE} events a second", "plain", *CODINGS[1:])
    for what, found in (("bytes of an event", steady), (f"the same, a reader coming every {COMING} s", busy)):
        table.row(what, *(f"{found[coding]:.1f} ({found[coding] / found[CODINGS[0]]:.2f})" for coding in CODINGS))
    cells = (f"{statistics.median(costs[coding]):.1f}" for coding in CODINGS)
    table.row(f"CPU for each delivery to {READERS} readers, µs", *cells)
    table.write()


if __name__ == "__main__":
    main()

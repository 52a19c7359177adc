"""What does an event cost that many read? One topic, ten events a second of 200 bytes, event streams; beside Nchan.

Each server on one core, the readers on the other; rounds are short and alternate, as the machine's own load drifts.
The CPU is the worker's, for each event delivered to each reader. Nchan is Debian's libnginx-mod-nchan: its module is
looked for where nginx keeps them, or where NCHAN says.
"""

import asyncio
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import uvloop

from bench.report import Table, on_core
from tests.system.harness import Server, free_port, wait_until

READERS = int(os.environ.get("READERS", "1000"))
RATE = 10.0  # events a second
SECONDS = 8.0
ROUNDS = 3
CONNECTING = 100  # at a time
MODULE = Path(os.environ.get("NCHAN", "/usr/lib/nginx/modules/ngx_nchan_module.so"))

NGINX = """
daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/log; load_module {module};
events {{ worker_connections 20000; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{
    listen 127.0.0.1:{port};
    location = /pub {{ nchan_publisher; nchan_channel_id bench; nchan_message_buffer_length 1000; }}
    location = /sub {{ nchan_subscriber eventsource; nchan_channel_id bench; nchan_subscriber_first_message newest; }}
  }}
}}
"""


@dataclass
class Peer:
    """A server that runs."""

    name: str
    worker: psutil.Process
    port: int
    read: str
    publish: str
    headers: str
    figures: dict[str, list[float]] = field(default_factory=dict)

    def cpu(self) -> float:
        times = self.worker.cpu_times()
        return float(times.user + times.system)


class Reader(asyncio.Protocol):
    def __init__(self, peer: Peer, delays: list[float]) -> None:
        self.peer = peer
        self.delays = delays
        self.opened = asyncio.get_running_loop().create_future()
        self.events = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        request = f"GET {self.peer.read} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n"
        transport.write(request.encode())  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        if not self.opened.done():
            assert b" 200 " in data[:20], data
            self.opened.set_result(None)
        at = data.find(b'{"t":')
        while at >= 0:
            self.events += 1
            if self.events % 10 == 0:
                self.delays.append(time.time() - float(data[at + 5 : data.index(b",", at)]))
            at = data.find(b'{"t":', at + 1)


async def measure(peer: Peer) -> None:
    loop = asyncio.get_running_loop()
    before, delays, readers = peer.worker.memory_info().rss, list[float](), list[Reader]()
    began = time.monotonic()
    for _ in range(READERS // CONNECTING):
        made = [loop.create_connection(lambda: Reader(peer, delays), "127.0.0.1", peer.port) for _ in range(CONNECTING)]
        new = [reader for _, reader in await asyncio.gather(*made)]
        if peer.name == "mediastream":
            await asyncio.gather(*(reader.opened for reader in new))
        readers += new
    connecting = time.monotonic() - began
    await asyncio.sleep(1)
    memory = (peer.worker.memory_info().rss - before) / READERS
    cpu = peer.cpu()
    published = await publish(peer)
    await asyncio.sleep(1)
    cpu = peer.cpu() - cpu
    delivered = sum(reader.events for reader in readers)
    for reader in readers:
        reader.transport.close()
    await asyncio.sleep(1)
    figures = {
        "CPU for each delivery, µs": cpu / max(delivered, 1) * 1e6,
        "delay p50, ms": statistics.median(delays) * 1000,
        "delay p99, ms": statistics.quantiles(delays, n=100)[98] * 1000,
        "memory for each reader, KB": memory / 1024,
        "connects a second": READERS / connecting,
        "lost": published * READERS - delivered,
    }
    for name, value in figures.items():
        peer.figures.setdefault(name, []).append(value)
    print(peer.name, {name: round(value, 2) for name, value in figures.items()}, flush=True)


async def publish(peer: Peer) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", peer.port)
    loop, count = asyncio.get_running_loop(), int(RATE * SECONDS)
    began = loop.time()
    for number in range(count):
        await asyncio.sleep(began + number / RATE - loop.time())
        body = f'{{"t":{time.time():.7f},"x":"{"x" * 172}"}}'.encode()
        head = f"POST {peer.publish} HTTP/1.1\r\nHost: localhost\r\n{peer.headers}Content-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        length = [line for line in answer.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        if length:
            await reader.readexactly(int(length[0].split(b":")[1]))
    writer.close()
    return count


def ours(folder: Path) -> tuple[Server, Peer]:
    server = Server.start(folder / "data", prefix=("taskset", "-c", "0"))
    make = "from mediastream.feeds.models import Topic; from mediastream.feeds.known import known\n"
    make += "print(known(Topic.objects.create(name='bench', visibility='public')).token)"
    token = server.manage("shell", "-v", "0", "-c", make).split()[-1]
    headers = f"Authorization: Bearer {token}\r\n"
    paths = "/feeds/bench/events", "/feeds/bench/publish"
    return server, Peer("mediastream", server.worker(), server.port, *paths, headers)


def nchan(folder: Path) -> tuple["subprocess.Popen[bytes]", Peer]:
    port = free_port()
    configuration = folder / "nginx.conf"
    configuration.write_text(NGINX.format(folder=folder, module=MODULE, port=port))
    process = subprocess.Popen(["taskset", "-c", "0", "/usr/sbin/nginx", "-p", str(folder), "-c", str(configuration)])
    wait_until(lambda: psutil.Process(process.pid).children(), 20, "nginx's worker")
    (worker,) = psutil.Process(process.pid).children()
    return process, Peer("Nchan", worker, port, "/sub", "/pub", "")


def main() -> None:
    if not MODULE.exists():
        sys.exit(f"no {MODULE}: install libnginx-mod-nchan")
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    on_core(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        server, mine = ours(folder)
        process, theirs = nchan(folder)
        try:
            for _ in range(ROUNDS):
                for peer in (mine, theirs):
                    uvloop.run(measure(peer))
        finally:
            process.terminate()
            process.wait(20)
            server.stop()
    table = Table("feeds", f"{READERS} event streams", mine.name, theirs.name)
    for figure in mine.figures:
        # What a server has once allocated for readers it keeps for the next: the first round's is what they cost.
        pick = max if "memory" in figure else statistics.median
        values = [pick(peer.figures[figure]) for peer in (mine, theirs)]
        table.row(figure, *(f"{value:.1f}" for value in values))
    table.write()


if __name__ == "__main__":
    main()

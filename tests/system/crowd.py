"""Clients by the hundred, of every kind that a server may have when it ends, and what they saw of the end."""

import selectors
import socket
import threading
from dataclasses import dataclass, field
from typing import Self

from tests.system.harness import Server, read_head, request

LAST_CHUNK = b"0\r\n\r\n"
SMALL = 4096  # bytes of receive buffer: with it a client that reads nothing has paused within a second
HALF_AN_UPLOAD = request("/accounts/login/", "Content-Length: 500000", method="POST") + b"x" * 1000


def paused(server: Server, path: str) -> socket.socket:
    """A client that has read the head of its answer, to the byte, and reads nothing more."""
    connection = socket.socket()
    server.opened.append(connection)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
    connection.settimeout(20)
    connection.connect(("127.0.0.1", server.port))
    connection.sendall(request(path))
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = connection.recv(1)
        assert byte, head
        head += byte
    assert head.startswith(b"HTTP/1.1 200 "), head
    return connection


@dataclass
class Readers:
    """Clients that take what comes, by one thread. `tails`: the last bytes of each that has ended, None for a reset."""

    connections: list[socket.socket]
    tails: dict[socket.socket, bytes | None] = field(default_factory=dict)
    received: dict[socket.socket, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        selector = selectors.DefaultSelector()
        latest: dict[socket.socket, bytes] = {}
        for connection in self.connections:
            selector.register(connection, selectors.EVENT_READ)
            latest[connection], self.received[connection] = b"", 0
        while selector.get_map() and not self._stop.is_set():
            for key, _ in selector.select(0.1):
                connection: socket.socket = key.fileobj  # type: ignore[assignment]
                try:
                    data = connection.recv(1 << 18)
                except OSError:
                    selector.unregister(connection)
                    self.tails[connection] = None
                    continue
                if data:
                    latest[connection] = (latest[connection] + data)[-100:]
                    self.received[connection] += len(data)
                else:
                    selector.unregister(connection)
                    self.tails[connection] = latest[connection]
        selector.close()

    def finish(self, seconds: float = 10.0) -> list[bytes | None]:
        """Wait until all have ended, or the time is over; the tails in the order of the clients."""
        self._thread.join(seconds)
        self._stop.set()
        self._thread.join()
        return [self.tails.get(connection, b"still open") for connection in self.connections]


@dataclass
class Crowd:
    """Open and answered, each of its kind: paused downloads, viewers who read and who do not, transcodes."""

    downloads: list[socket.socket]
    watching: Readers
    paused_viewers: list[socket.socket]
    transcodes: Readers
    idle: list[socket.socket]
    uploads: list[socket.socket]

    @classmethod
    def gather(cls, server: Server, added: dict[str, str], transcodes: int) -> Self:
        """100 downloads, 100 viewers, `transcodes`, 20 idle connections and 80 uploads half-way."""
        watching = [server.open("/live/test-pattern/mjpeg") for _ in range(50)]
        ladder = [server.open(f"{added['stream']}?profile=360p&start={start}") for start in range(transcodes)]
        idle = [server.open("/healthz/live") for _ in range(20)]
        for connection in [*watching, *ladder, *idle]:
            assert read_head(connection)[0] == 200
        uploads = []
        for _ in range(80):
            connection = server.connect()
            server.opened.append(connection)
            connection.sendall(HALF_AN_UPLOAD)
            uploads.append(connection)
        return cls(
            downloads=[paused(server, added["file"]) for _ in range(100)],
            watching=Readers(watching),
            paused_viewers=[paused(server, "/live/test-pattern/mjpeg") for _ in range(50)],
            transcodes=Readers(ladder),
            idle=idle,
            uploads=uploads,
        )

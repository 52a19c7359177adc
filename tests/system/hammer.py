"""Clients who ask without pause on connections that they keep, and forgive a server no more than browsers do."""

import http.client
import threading
import time
from dataclasses import dataclass, field
from typing import Self

from tests.system.harness import Server

PATIENCE = 30.0  # seconds


@dataclass
class Hammer:
    """`failures`: what went wrong; `slowest`: seconds that a request waited at most.

    A kept connection that turns out to be closed when the next request goes into it is no failure, as every client
    repeats such a request (RFC 9112 section 9.3.1); on a new one it is.
    """

    server: Server
    path: str
    clients: int = 4
    answered: int = 0
    slowest: float = 0.0
    failures: list[str] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask_on_and_on) for _ in range(self.clients)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask_on_and_on(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=PATIENCE)
        while not self._stop.is_set():
            started = time.monotonic()
            kept = connection.sock is not None
            try:
                self._ask(connection)
                self.answered += 1
            except (http.client.HTTPException, OSError) as fault:
                connection.close()
                if not kept or isinstance(fault, TimeoutError):
                    self.failures.append(repr(fault))
            self.slowest = max(self.slowest, time.monotonic() - started)
        connection.close()

    def _ask(self, connection: http.client.HTTPConnection) -> None:
        connection.request("GET", self.path, headers={"Range": "bytes=1000-66535"})
        answer = connection.getresponse()
        body = answer.read()
        if answer.status not in (200, 206):
            self.failures.append(f"{answer.status} {body[:200]!r}")

"""Our Connection on real sockets, on a loop of its own in a thread, and a client of a few lines."""

import asyncio
import functools
import logging
import socket
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any

import uvloop
from gunicorn.config import Config
from gunicorn.glogging import Logger

from mediastream.errors import StreamCut
from mediastream.server.connection import Connection
from mediastream.server.granted import Grants

Application = Callable[..., Coroutine[Any, Any, None]]


class Log(Logger):  # type: ignore[misc]
    """gunicorn's logger, which keeps what it is told. `debug` is gunicorn's own: where it is not, gunicorn takes
    the hook that logs each request for one that somebody has set."""

    def __init__(self) -> None:
        self.access_log_wanted = False
        self.error_log = logging.getLogger("tests.gunicorn")
        self.said: list[tuple[str, str]] = []

    @property
    def access_log_enabled(self) -> bool:
        return self.access_log_wanted

    def access(self, *_: Any) -> None:
        self.said.append(("access", ""))

    def _keep(level: str) -> Any:  # type: ignore[misc]  # noqa: N805
        return lambda self, message, *args, **_: self.said.append((level, str(message) % args if args else message))

    info, warning, error, exception, critical = map(_keep, ("info", "warning", "error", "exception", "critical"))

    def errors(self) -> list[str]:
        return [message for level, message in self.said if level in ("error", "exception", "critical")]


class Serving:
    """One application behind our Connection. `faults`: the cuts it asked for; `loop_faults`: what nobody caught."""

    def __init__(self, loop: asyncio.AbstractEventLoop, application: Application, **config: Any) -> None:
        self.loop = loop
        self.faults: list[BaseException] = []
        self.loop_faults: list[dict[str, Any]] = []
        self.application = application
        self.log = Log()
        settings = Config()
        for name, value in config.items():
            settings.set(name, value)
        self.worker = SimpleNamespace(
            cfg=settings, log=self.log, asgi=self._call, loop=loop, nr_conns=0, connections=set(), alive=True, nr=0,
            max_requests=sys.maxsize, state={}, most_connections=100, grants=Grants(),
        )  # fmt: skip
        loop.set_exception_handler(lambda _, context: self.loop_faults.append(context))
        self.thread = threading.Thread(target=loop.run_forever)
        self.thread.start()
        self.server = self.run(loop.create_server(lambda: Connection(self.worker), "127.0.0.1", 0))
        self.port = self.server.sockets[0].getsockname()[1]

    async def _call(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await self.application(scope, receive, send)
        except StreamCut as fault:
            self.faults.append(fault)
            await scope["extensions"]["mediastream.connection"].cut()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(10)

    def on_loop(self, function: Callable[[], Any]) -> Any:
        """The result of `function`, called on the loop's thread."""

        async def call() -> Any:
            return function()

        return self.run(call())

    async def _close(self) -> None:
        self.server.close()
        for connection in list(self.worker.connections):
            connection.transport.abort()
        while self.worker.connections:
            await asyncio.sleep(0.01)
        self.worker.grants.clear()

    def close(self) -> None:
        self.run(self._close())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    def connect(self, receive_buffer: int | None = None) -> socket.socket:
        """`receive_buffer`: bytes; a small one makes a client that does not read a paused one at once."""
        client = socket.socket()
        if receive_buffer is not None:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        client.settimeout(20)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.connect(("127.0.0.1", self.port))
        return client

    def ask(self, *requests: str) -> socket.socket:
        client = self.connect()
        client.sendall("".join(f"{line}\r\nHost: x\r\n\r\n" for line in requests).encode())
        return client

    def connection(self) -> Any:
        """The only one there is."""
        wait_until(lambda: len(self.worker.connections) == 1, "one connection")
        (connection,) = self.worker.connections
        return connection

    def wait_for_no_client(self) -> None:
        wait_until(lambda: not self.worker.connections, "the connections to end")


def wait_until(condition: Callable[[], Any], what: str, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.005)


def read_response(client: socket.socket, rest: bytes = b"") -> tuple[bytes, bytes, bytes]:
    """Head, body of Content-Length bytes, and what came after it."""
    while b"\r\n\r\n" not in rest:
        chunk = client.recv(65536)
        assert chunk, rest
        rest += chunk
    head, _, rest = rest.partition(b"\r\n\r\n")
    lines = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    size = int(lines[b"content-length"])
    while len(rest) < size:
        chunk = client.recv(1 << 20)
        assert chunk, f"{len(rest)} of {size} bytes"
        rest += chunk
    return head, rest[:size], rest[size:]


def read_to_end(client: socket.socket) -> bytes:
    received = bytearray()
    while chunk := client.recv(1 << 20):
        received += chunk
    return bytes(received)


def on_uvloop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """The loop of the worker; asyncio's own does otherwise when descriptors run out, and as a socket is full."""

    @functools.wraps(test)
    def run(*arguments: Any, **named: Any) -> None:
        uvloop.run(test(*arguments, **named))

    return run

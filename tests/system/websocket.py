"""A WebSocket client of a few lines (RFC 6455), to say and see exactly what goes over the wire."""

import base64
import os
import socket
import struct

from tests.system.harness import Server, read_head, request

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


class Refused(Exception):
    """The handshake was answered by this status."""


class WebSocket:
    def __init__(self, server: Server, path: str, *headers: str, origin: str | None = "http://localhost") -> None:
        self.connection: socket.socket = server.connect()
        key = base64.b64encode(os.urandom(16)).decode()
        lines = ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}"]
        lines += [f"Origin: {origin}"] if origin is not None else []
        self.connection.sendall(request(path, *lines, *headers))
        status, _, self._rest = read_head(self.connection)
        if status != 101:
            self.connection.close()
            raise Refused(status)

    def __enter__(self) -> "WebSocket":
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def send(self, data: str | bytes, opcode: int | None = None) -> None:
        payload = data.encode() if isinstance(data, str) else data
        opcode = opcode if opcode is not None else TEXT if isinstance(data, str) else BINARY
        size = len(payload)
        if size < 126:
            length = bytes([0x80 | size])
        else:
            length = b"\xfe" + struct.pack("!H", size) if size < 65536 else b"\xff" + struct.pack("!Q", size)
        # A mask of zeros is one: the payload stays as it is.
        self.connection.sendall(bytes([0x80 | opcode]) + length + bytes(4) + payload)

    def receive(self) -> tuple[int, bytes]:
        """Opcode and payload of the next frame."""
        first, second = self._read(2)
        size = second & 0x7F
        if size == 126:
            (size,) = struct.unpack("!H", self._read(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", self._read(8))
        return first & 0x0F, self._read(size)

    def _read(self, size: int) -> bytes:
        while len(self._rest) < size:
            chunk = self.connection.recv(65536)
            if not chunk:
                raise EOFError
            self._rest += chunk
        data, self._rest = self._rest[:size], self._rest[size:]
        return data

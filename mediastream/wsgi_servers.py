"""What some WSGI servers give beyond PEP 3333, used where it is right.

**`wsgi.file_wrapper`** takes a file-like object and may send it in any way it knows. What it sends is left open:

- gunicorn sends by sendfile from where the file stands, as many bytes as Content-Length says; over TLS and
  HTTP/2, where it cannot, it reads.
- uWSGI sends by sendfile the whole file from its first byte, wherever it stands. So it gets whole files alone.
- wsgiref (`manage.py runserver`) reads to the end in pieces, which gains nothing; Granian has none.

Several ranges have framing between them, which no wrapper knows.

**gunicorn's socket**, in the environ, is given a deadline: a paused viewer would keep its thread for good, as a
blocking send waits for ever. It holds for each chunk, or for each piece of a file that the kernel takes. uWSGI
has its own deadline (--socket-timeout); other servers have none.

**The connection** ends with the right to what is sent on it. The thread may wait in the server's own send, or the
kernel send a whole file for it: nobody asks the application then. gunicorn, uWSGI and `runserver` let us have the
socket, one way or another; elsewhere the stream ends at its next chunk.
"""

import io
import os
import socket
import struct
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from django.conf import settings

from mediastream import homeloop, streams
from mediastream.bodies import FileBody
from mediastream.errors import StreamCut
from mediastream.http.ranges import Span
from mediastream.responses import StreamResponse
from mediastream.streams import Stream

Environ = dict[str, Any]
PAGE_PATIENCE = 60.0  # seconds for one piece of a page


def bound_writes(environ: Environ, response: Any) -> None:
    """gunicorn takes the deadline off again before it reads the connection's next request."""
    connection = environ.get("gunicorn.socket")
    if connection is not None:
        connection.settimeout(response.body.patience if isinstance(response, StreamResponse) else PAGE_PATIENCE)


def can_hang_up(environ: Environ, start_response: Callable[..., Any], response: StreamResponse) -> None:
    """Have the response end its connection when its right goes."""
    connection = _connection(environ, start_response, response)
    if connection is not None:
        response.hang_up = lambda: _hang_up(connection)


def _connection(environ: Environ, start_response: Callable[..., Any], response: StreamResponse) -> socket.socket | None:
    if "gunicorn.socket" in environ:
        return environ["gunicorn.socket"]  # type: ignore[no-any-return]
    if "uwsgi.version" in environ and "uwsgi" in sys.modules:
        copy = socket.socket(fileno=os.dup(sys.modules["uwsgi"].connection_fd()))
        response._resource_closers.append(copy.close)  # type: ignore[attr-defined]
        return copy
    handler = getattr(getattr(start_response, "__self__", None), "request_handler", None)
    return getattr(handler, "connection", None)


def _hang_up(connection: socket.socket) -> None:
    """From another thread than the one that sends, so it is not closed here. When it is, what the kernel still
    holds for the viewer goes too (SO_LINGER, socket(7)). The class's own shutdown: ssl's first takes the encryption
    off, and the other thread might send something before the rest of it."""
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        socket.socket.shutdown(connection, socket.SHUT_RDWR)


def by_file_wrapper(environ: Environ, response: Any) -> Iterable[bytes] | None:
    """`response` as the server's own file wrapper sends it; None if that would not send exactly its bytes."""
    wrapper = environ.get("wsgi.file_wrapper")
    if wrapper is None or not (isinstance(response, StreamResponse) and isinstance(response.body, FileBody)):
        return None
    body = response.body
    span = body.only_span
    whole = span is not None and span == Span(0, body.size)
    by_gunicorn = "gunicorn.socket" in environ
    if span is None or not (by_gunicorn or ("uwsgi.version" in environ and whole)):
        return None
    sent = FileSpan(response, body.file.fd, span, moves=by_gunicorn)
    wrapped: Iterable[bytes] = wrapper(sent, settings.CHUNK_SIZE)
    return wrapped


class FileSpan(io.FileIO):
    """A span of a response's open file, as a file that begins and ends with it. One of the open streams until it is
    closed, and closes the response.

    `moves`: it stands behind the last byte sent when it is closed, as after Python's sendfile. uWSGI's does not
    say how much has gone, which is then counted as all.
    """

    def __init__(self, response: StreamResponse, fd: int, span: Span, *, moves: bool) -> None:
        super().__init__(fd, "rb", closefd=False)
        self.seek(span.start)
        self._span, self._moves = span, moves
        self._response: StreamResponse | None = response
        self._stream = response.stream(response.hang_up)
        homeloop.call(_opened(self._stream))

    def read(self, size: int | None = -1) -> bytes:
        left = max(self._span.stop - self.tell(), 0)
        return super().read(left if size is None or size < 0 else min(size, left)) or b""

    def close(self) -> None:
        """Raises StreamCut if the file has become shorter than was promised: who sends a file by sendfile takes
        that for its end, and would read the next response on the connection into the gap."""
        response, self._response = self._response, None
        if response is None:
            return
        size, stream = os.fstat(self.fileno()).st_size, self._stream
        stream.bytes = self.tell() - self._span.start if self._moves else self._span.length
        if stream.reason == streams.COMPLETE and size < self._span.stop:
            stream.reason = streams.CUT
        elif stream.reason == streams.COMPLETE and stream.bytes < self._span.length:
            stream.reason = streams.LEFT
        homeloop.call(_closed(stream))
        super().close()
        response.close()
        if stream.reason == streams.CUT:
            raise StreamCut(f"the file ends at byte {size}, before the {self._span.stop} that were promised")


async def _opened(stream: Stream) -> None:
    streams.opened(stream, brief=True)


async def _closed(stream: Stream) -> None:
    streams.closed(stream)

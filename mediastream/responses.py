"""The only place where primitives become Django responses.

A StreamResponse carries a Body. Which server pulls it decides how: ASGI servers iterate it on their
loop (handler.py), WSGI servers and Django's synchronous test client by `__iter__`, which brings every
step home (homeloop.py). Django itself would drain the one kind with list() under the other.
"""

import hashlib
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path

from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.utils.http import content_disposition_header

from mediastream import homeloop
from mediastream.bodies import Body, FileBody, OpenFile
from mediastream.errors import Fault, PreconditionFailed, RangeNotSatisfiable, Unknown
from mediastream.http import conditional, multipart, ranges
from mediastream.http.conditional import Outcome, Validators
from mediastream.http.filename import printable

# The stream responses made for the request under way. Whatever happens to them on their way out (a client
# that leaves while a middleware awaits its thread, a middleware that raises), who serves the request closes
# them all: a body nobody received would hold its file, its child and its place for good.
_made: ContextVar[list["StreamResponse"] | None] = ContextVar("stream_responses", default=None)

CLOSE_DEADLINE = 10.0  # seconds a WSGI thread waits for a body to close: a child is killed in milliseconds


class StreamResponse(StreamingHttpResponse):
    """A response whose body is pulled as fast as the client takes it, and closed whatever happens."""

    def __init__(self, body: Body, content_type: str, status: int = 200) -> None:
        super().__init__(body, status=status, content_type=content_type)
        self.body = body
        self._body_closed = False
        if (made := _made.get()) is not None:
            made.append(self)
        self["X-Content-Type-Options"] = "nosniff"

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (chunk := await homeloop.run(_step(self.body))) is not None:
            yield chunk

    def __iter__(self) -> Iterator[bytes]:
        try:
            while (chunk := homeloop.call(_step(self.body))) is not None:
                yield chunk
        finally:
            self._body_closed = True
            homeloop.call(self.body.aclose(), CLOSE_DEADLINE)

    async def aclose(self) -> None:
        """Close the body; a handler on the home loop awaits this before `close`."""
        self._body_closed = True
        await homeloop.run(self.body.aclose())

    def close(self) -> None:
        """Called by WSGI servers and test clients, from a thread or from a loop that is not home."""
        if not self._body_closed:
            self._body_closed = True
            homeloop.call(self.body.aclose(), CLOSE_DEADLINE)
        super().close()


@contextmanager
def stream_responses() -> Iterator[list[StreamResponse]]:
    """The list of those made inside, for their owner: the handler that serves the request."""
    made: list[StreamResponse] = []
    token = _made.set(made)
    try:
        yield made
    finally:
        _made.reset(token)


async def _step(body: Body) -> bytes | None:
    """The next chunk, None at the end: StopAsyncIteration must not cross from one loop to another."""
    return await anext(body, None)


def headers_only(content_type: str) -> StreamingHttpResponse:
    """The answer to HEAD on a stream: nothing is started. Streaming, as its length is not known to be 0."""
    response = StreamingHttpResponse((), content_type=content_type)
    response["X-Content-Type-Options"] = "nosniff"
    return response


async def file_response(
    request: HttpRequest,
    path: Path,
    *,
    identity: str,
    content_type: str,
    cache_control: str,
    filename: str | None = None,
    download: bool = False,
) -> HttpResponseBase:
    """A stored file by RFC 9110: preconditions, then ranges, then the bytes.

    `identity`: the stored name. It is never used twice, so with the size it makes a strong ETag; a time
    of change would not (two writes within its granularity). Raises Unknown if the file is gone.
    """
    try:
        file = await homeloop.run(OpenFile.open(path))
    except (FileNotFoundError, NotADirectoryError):
        raise Unknown("The file of this item is gone from the storage; upload it again.") from None
    except OSError as fault:
        raise Fault(f"The file of this item cannot be opened ({fault.strerror}).") from None
    try:
        response = _decide(request, file, identity, content_type)
    except BaseException:
        file.close()
        raise
    response["Cache-Control"] = cache_control
    if filename is not None:
        disposition = content_disposition_header(download, printable(filename))
        response["Content-Disposition"] = disposition or "inline"
    return response


def _decide(request: HttpRequest, file: OpenFile, identity: str, content_type: str) -> HttpResponseBase:
    current = Validators(_etag(identity, file.size), file.modified)
    outcome = conditional.evaluate(request.method or "GET", request.headers, current)
    if outcome is Outcome.FAILED:
        raise PreconditionFailed
    if outcome is Outcome.NOT_MODIFIED:
        file.close()
        # Else CommonMiddleware would say 0, and a 304 may name no length but the 200's (section 8.6).
        return _validated(HttpResponse(status=304, headers={"Content-Length": str(file.size)}), current)
    wanted = None
    # Section 14.2: Range has a meaning for GET alone, so HEAD answers as for the whole.
    if request.method == "GET" and conditional.range_applies(request.headers.get("If-Range"), current):
        wanted = request.headers.get("Range")
    try:
        spans = ranges.select(wanted, file.size)
    except ranges.Unsatisfiable:
        raise RangeNotSatisfiable(file.size) from None
    return _validated(_send(request, file, spans, content_type), current)


def _send(
    request: HttpRequest, file: OpenFile, spans: tuple[ranges.Span, ...] | None, content_type: str
) -> HttpResponseBase:
    if spans is None:
        whole = ranges.Span(0, file.size)
        response = _file_stream(request, file, [whole], content_type, 200, file.size)
    elif len(spans) == 1:
        response = _file_stream(request, file, list(spans), content_type, 206, spans[0].length)
        response["Content-Range"] = spans[0].content_range(file.size)
    else:
        boundary = secrets.token_hex(16)
        parts, tail, length = multipart.byteranges_plan(boundary, content_type, spans, file.size)
        pieces: list[bytes | ranges.Span] = [piece for part in parts for piece in part]
        response = _file_stream(request, file, [*pieces, tail], multipart.byteranges_type(boundary), 206, length)
    response["Accept-Ranges"] = "bytes"
    return response


def _file_stream(
    request: HttpRequest,
    file: OpenFile,
    pieces: list[bytes | ranges.Span],
    content_type: str,
    status: int,
    length: int,
) -> HttpResponseBase:
    response: HttpResponseBase
    if request.method == "HEAD":
        file.close()
        response = headers_only(content_type)
    else:
        response = StreamResponse(FileBody(file, pieces), content_type, status)
    response["Content-Length"] = str(length)
    return response


def _validated(response: HttpResponseBase, current: Validators) -> HttpResponseBase:
    response["ETag"] = current.etag
    response["Last-Modified"] = conditional.format_date(current.modified)
    response["X-Content-Type-Options"] = "nosniff"
    if response.status_code == 304:
        with suppress(KeyError):
            del response["Content-Type"]
    return response


def _etag(identity: str, size: int) -> str:
    digest = hashlib.sha256(f"{identity} {size}".encode()).hexdigest()
    return f'"{digest[:32]}"'

"""The only place where primitives become Django responses.

A StreamResponse carries a Body. Which server pulls it decides how: ASGI servers iterate it on their
loop (handler.py), WSGI servers and Django's synchronous test client by `__iter__`, which brings every
step home (pulling.py). Django itself would drain the one kind with list() under the other.
"""

import hashlib
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase, StreamingHttpResponse
from django.utils.http import content_disposition_header

from mediastream import homeloop, offload, pulling
from mediastream.access import Right
from mediastream.bodies import Body, Content, FileContent
from mediastream.errors import Fault, PreconditionFailed, RangeNotSatisfiable, Unknown, system_fault
from mediastream.http import conditional, multipart, ranges
from mediastream.http.conditional import Outcome, Validators
from mediastream.http.filename import printable
from mediastream.listed import ListedBody
from mediastream.openfile import OpenFile
from mediastream.streams import Label, Stream

# The stream responses made for the request under way. Whatever happens to them on their way out (a client
# that leaves while a middleware awaits its thread, a middleware that raises), who serves the request closes
# them all: a body nobody received would hold its file, its child and its place for good.
_made: ContextVar[list["StreamResponse"] | None] = ContextVar("stream_responses", default=None)

CLOSE_DEADLINE = 10.0  # seconds a WSGI thread waits for a body to close: a child is killed in milliseconds


class StreamResponse(StreamingHttpResponse):
    """A response whose body is pulled as fast as the client takes it, and closed whatever happens.

    `label`: what it streams; `right`: by which the client has it, and without which it ends. None: anybody's.
    `hang_up`: ends the connection it is sent on, where a server that pulls it lets us have that.
    """

    def __init__(
        self, body: Body, content_type: str, label: Label, right: Right[Any] | None = None, status: int = 200
    ) -> None:
        super().__init__(body, status=status, content_type=content_type)
        self.body = body
        self.label = label
        self.right = right
        self.hang_up: Callable[[], object] = lambda: None
        self._body_closed = False
        self._listed: ListedBody | None = None
        if (made := _made.get()) is not None:
            made.append(self)
        self["X-Content-Type-Options"] = "nosniff"

    @property
    def brief(self) -> bool:
        """Whether it will probably be over in a moment."""
        return self.body.brief

    def stream(self, end: Callable[[], object]) -> Stream:
        """This response as one of the open streams, for whoever sends its body; `end`: ends it early."""
        right = self.right
        if right is None:
            return Stream(self.label, None, end)
        return Stream(self.label, right.holds, end, right.visitor.pk)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (chunk := await homeloop.run(pulling.next_chunk(self._pulled()))) is not None:
            yield chunk

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from pulling.chunks(self._pulled())
        finally:
            self._close_body()

    def _pulled(self) -> Body:
        """The body for a server that is not our handler."""
        if self._listed is None:
            self._listed = ListedBody(self.body, self.stream(self.hang_up), brief=self.brief)
        return self._listed

    async def aclose(self) -> None:
        """Close the body; a handler on the home loop awaits this before `close`."""
        self._body_closed = True
        await homeloop.run((self._listed or self.body).aclose())

    def close(self) -> None:
        """Called by WSGI servers and test clients, from a thread or from a loop that is not home."""
        self._close_body()
        super().close()

    def _close_body(self) -> None:
        if not self._body_closed:
            self._body_closed = True
            homeloop.settle((self._listed or self.body).aclose(), CLOSE_DEADLINE)


@contextmanager
def stream_responses() -> Iterator[list[StreamResponse]]:
    """The list of those made inside, for their owner: the handler that serves the request."""
    made: list[StreamResponse] = []
    token = _made.set(made)
    try:
        yield made
    finally:
        _made.reset(token)


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
    label: Label,
    right: Right[Any] | None = None,
    filename: str | None = None,
    download: bool = False,
    file: OpenFile | None = None,
) -> HttpResponseBase:
    """A stored file by RFC 9110: preconditions, then ranges, then the bytes.

    `file`: it, if it is open already; it is closed here. `identity`: the stored name. It is never used twice, so with
    the size it makes a strong ETag; a time of change would not (two writes within its granularity). Raises Unknown if
    the file is gone.
    """
    if file is None:
        file = await _opened(path)
    response = _response_of(request, _Delivery(FileContent(file), content_type, label, right), identity, cache_control)
    if filename is not None:
        response["Content-Disposition"] = _disposition(download, filename)
    told = offload.for_proxy(request, response, path, content_type)
    if told is not None:
        if isinstance(response, StreamResponse):
            await response.aclose()
        response = told
    if right is not None:
        right.give_ticket(request, response)
    return response


async def _opened(path: Path) -> OpenFile:
    try:
        return await homeloop.run(OpenFile.open(path))
    except (FileNotFoundError, NotADirectoryError):
        raise Unknown("The file of this item is gone from the storage; upload it again.") from None
    except OSError as fault:
        raise system_fault(fault) or Fault(f"The file of this item cannot be opened ({fault.strerror}).") from None


def content_response(
    request: HttpRequest,
    content: Content,
    *,
    identity: str,
    content_type: str,
    cache_control: str,
    label: Label,
    right: Right[Any] | None = None,
) -> HttpResponseBase:
    """The same for what is no file, but has a length as one. `identity`: as above; never of other bytes."""
    response = _response_of(request, _Delivery(content, content_type, label, right), identity, cache_control)
    if right is not None:
        right.give_ticket(request, response)
    return response


@dataclass(frozen=True)
class _Delivery:
    """Bytes about to be answered with."""

    content: Content
    content_type: str
    label: Label
    right: Right[Any] | None


def _response_of(request: HttpRequest, what: _Delivery, identity: str, cache_control: str) -> HttpResponseBase:
    try:
        if what.right is not None:
            what.right.check()  # a disk that had to wake up may have taken seconds
        response = _decide(request, what, identity)
    except BaseException:
        what.content.close()
        raise
    response["Cache-Control"] = cache_control
    return response


def _decide(request: HttpRequest, what: _Delivery, identity: str) -> HttpResponseBase:
    content = what.content
    current = Validators(_etag(identity, content.size), content.modified)
    outcome = conditional.evaluate(request.method or "GET", request.headers, current)
    if outcome is Outcome.FAILED:
        raise PreconditionFailed
    if outcome is Outcome.NOT_MODIFIED:
        content.close()
        # A streaming one, or CommonMiddleware would say that its length is 0, and a 304 may name no length but
        # the 200's (section 8.6). With that one uvicorn would wait for as many bytes, and close the connection.
        return _validated(StreamingHttpResponse((), status=304), current)
    wanted = None
    # Section 14.2: Range has a meaning for GET alone, so HEAD answers as for the whole.
    if request.method == "GET" and conditional.range_applies(request.headers.get("If-Range"), current):
        wanted = request.headers.get("Range")
    try:
        spans = ranges.select(wanted, content.size)
    except ranges.Unsatisfiable:
        raise RangeNotSatisfiable(content.size) from None
    return _validated(_send(request, what, spans), current)


def _send(request: HttpRequest, what: _Delivery, spans: tuple[ranges.Span, ...] | None) -> HttpResponseBase:
    size, content_type = what.content.size, what.content_type
    if spans is None:
        whole = ranges.Span(0, size)
        response = _sliced_stream(request, what, [whole], content_type, 200, size)
    elif len(spans) == 1:
        response = _sliced_stream(request, what, list(spans), content_type, 206, spans[0].length)
        response["Content-Range"] = spans[0].content_range(size)
    else:
        boundary = secrets.token_hex(16)
        parts, tail, length = multipart.byteranges_plan(boundary, content_type, spans, size)
        pieces: list[bytes | ranges.Span] = [piece for part in parts for piece in part]
        response = _sliced_stream(request, what, [*pieces, tail], multipart.byteranges_type(boundary), 206, length)
    response["Accept-Ranges"] = "bytes"
    return response


def _sliced_stream(
    request: HttpRequest,
    what: _Delivery,
    pieces: list[bytes | ranges.Span],
    content_type: str,
    status: int,
    length: int,
) -> HttpResponseBase:
    response: HttpResponseBase
    if request.method == "HEAD":
        what.content.close()
        response = headers_only(content_type)
    else:
        body = what.content.body(pieces, settings.CHUNK_SIZE)
        response = StreamResponse(body, content_type, what.label, what.right, status)
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


@lru_cache(1024)
def _disposition(download: bool, filename: str) -> str:
    return content_disposition_header(download, printable(filename)) or "inline"


@lru_cache(1024)
def _etag(identity: str, size: int) -> str:
    digest = hashlib.sha256(f"{identity} {size}".encode()).hexdigest()
    return f'"{digest[:32]}"'

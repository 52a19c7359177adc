"""Answering by a grant (mediastream/grants.py): requests that differ in their Range from one just answered.

The key to a grant is the request's head, byte for byte, without its Range line. So nothing is parsed twice,
and nothing is answered here that gunicorn's parser and a view have not let pass a moment ago: another cookie,
another path, another header is another key. gunicorn's own machinery for a connection is started only when a
request has to go the whole way.

Relied on inside gunicorn (checked by tests/server/test_gunicorn.py): `_start_http1`, `_feed_callback_parser`,
`_serve_http_request`, `_handle_http_request`, `_arm_keepalive_timer`, what lies between two requests, and the
attributes `_task`, `_callback_parser`, `_awaiting_request`, `_current_request`, `_h2c_buffer`, `_keepalive`,
`_pre_request` and `_post_request`.
"""

import logging
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from gunicorn.asgi.protocol import _CACHED_SERVER_HEADER, _get_cached_date_header

from mediastream import streams
from mediastream.bodies import DOWNLOAD_PATIENCE
from mediastream.grants import Grant
from mediastream.openfile import OpenFile
from mediastream.server.splicing import SplicingProtocol
from mediastream.server.zerocopy import Disconnected, FileSlice

if TYPE_CHECKING:
    from mediastream.server.worker import MediaWorker

logger = logging.getLogger(__name__)

MOST = 256  # grants at once; each holds a descriptor for its second
LONGEST = 8192  # bytes of a head that is worth remembering
EARLY = 64 * 1024  # bytes of further requests taken in while an answer goes out
# What may stand in no head that is remembered: a second range, or a body whose end is not the head's.
_NEVER = (b"\r\nrange:", b"\r\ncontent-length:", b"\r\ntransfer-encoding:", b"\r\nexpect:", b"\r\nupgrade:")


def without_range(data: bytes) -> tuple[bytes, bytes] | None:
    """The head without its Range line, and the line's value; None unless `data` is one whole GET with one."""
    if not data.startswith(b"GET ") or len(data) > LONGEST or data.find(b"\r\n\r\n") != len(data) - 4:
        return None
    start = data.find(b"\r\nRange: ")
    if start < 0:
        start = data.find(b"\r\nrange: ")
    if start < 0:
        return None
    stop = data.index(b"\r\n", start + 2)
    return data[:start] + data[stop:], data[start + 9 : stop]


class Grants:
    """Those of one worker, by head; the least recently used goes first."""

    def __init__(self) -> None:
        self._kept: OrderedDict[bytes, Grant] = OrderedDict()

    def put(self, head: bytes, grant: Grant) -> None:
        lowered = head.lower()
        if any(name in lowered for name in _NEVER):
            grant.file.close()
            return
        self._drop(head)
        self._kept[head] = grant
        if len(self._kept) > MOST:
            self._drop(next(iter(self._kept)))

    def get(self, head: bytes) -> Grant | None:
        grant = self._kept.get(head)
        if grant is not None and not grant.stands():
            self._drop(head)
            return None
        return grant

    def sweep(self) -> None:
        """Close the files of those that stand no longer."""
        for head in [head for head, grant in self._kept.items() if not grant.stands()]:
            self._drop(head)

    def clear(self) -> None:
        for head in list(self._kept):
            self._drop(head)

    def _drop(self, head: bytes) -> None:
        grant = self._kept.pop(head, None)
        if grant is not None:
            grant.file.close()


class GrantedProtocol(SplicingProtocol):
    """`stream`: what the response under way streams, whoever sends it."""

    def __init__(self, worker: "MediaWorker") -> None:
        super().__init__(worker)
        self.stream: streams.Stream | None = None
        self.patience = DOWNLOAD_PATIENCE
        self._answering: OpenFile | None = None
        self._head: bytes | None = None  # of the request under way, if a grant for it could be remembered
        self._early = b""
        self._clean = True  # gunicorn waits for a request, and its parser holds no byte of one
        self._serving = False
        self.served = 0  # requests that have been answered, or granted an answer
        self.graced = True

    @property
    def awaiting(self) -> bool:
        """Whether the next request, or its first, is waited for."""
        return self._answering is None and (self._task is None or self._awaiting_request)

    def reset(self) -> None:
        """End the connection with a RST; Connection says how."""
        raise NotImplementedError

    def remember(self, grant: Grant) -> None:
        """Take over `grant` for the request under way, if the like of it can be answered without the view."""
        request = self._current_request
        hooked = self.log.access_log_enabled or self._pre_request or self._post_request
        kept = self._keepalive and request.version == (1, 1) and not request.should_close()
        if self._head is None or hooked or not kept:
            grant.file.close()
        else:
            self.worker.grants.put(self._head, grant)

    def data_received(self, data: bytes) -> None:
        if self.transport is None:  # refused, and on its way out
            return
        if self._answering is not None:
            self._early += data
            if len(self._early) > EARLY:
                self._pause_reading()
            return
        asked = without_range(data) if self._clean and not self._h2c_buffer else None
        self._head = asked[0] if asked is not None else None
        if asked is not None and self._answer(*asked):
            return
        if self._task is None and self.reader is None and self._h2c_buffer is None:
            super()._start_http1()
        super().data_received(data)

    def _answer(self, head: bytes, wanted: bytes) -> bool:
        worker = self.worker
        grant = worker.grants.get(head)
        span = grant.span(wanted) if grant is not None else None
        if grant is None or span is None or not worker.alive or worker.nr + 1 >= worker.max_requests:
            return False
        if self.transport.get_write_buffer_size():
            return False
        try:
            sender = self.sender()
        except OSError:  # no descriptor is left for it
            return False
        worker.nr += 1
        self.patience, self.graced = DOWNLOAD_PATIENCE, True
        self.served += 1
        self._answering = grant.file.share()
        stream = streams.Stream(grant.label, grant.holds, self.reset, grant.whose)
        self.stream = streams.opened(stream, brief=True)
        lines = b"HTTP/1.1 206 Partial Content\r\n", grant.header(span), _CACHED_SERVER_HEADER
        text = b"%b%b%b%b\r\n" % (*lines, _get_cached_date_header())
        sender.start(text, FileSlice(grant.file.fd, span.start, span.length, stream), self._answered)
        return True

    def _answered(self, fault: Exception | None) -> None:
        file, stream = self._answering, self.stream
        assert file is not None
        assert stream is not None
        self._answering = self.stream = None
        file.close()
        if fault is not None and stream.reason == streams.COMPLETE:
            stream.reason = streams.LEFT if isinstance(fault, Disconnected) else streams.CUT
            if stream.reason == streams.CUT:
                logger.warning("%s %s cut: %s", stream.label.kind, stream.label.item, fault)
        streams.closed(stream)
        if fault is not None:
            self.transport.abort()
            return
        early, self._early = self._early, b""
        if early:
            self._resume_reading()
            self.data_received(early)

    def _start_http1(self, buffered: bytes = b"") -> None:
        """Not before a request needs it; but TLS and whoever has begun otherwise do at once."""
        if buffered or not self.can_send_files:
            super()._start_http1(buffered)

    def _feed_callback_parser(self, data: bytes) -> Any:
        self._clean = False
        return super()._feed_callback_parser(data)

    async def _serve_http_request(self, request: Any, sockname: Any, peername: Any) -> Any:
        """In the connection's own task: gunicorn would start one for what an application does after its
        response, which ours never does."""
        self._serving = True
        try:
            keepalive = await self._handle_http_request(request, sockname, peername)
        finally:
            self._serving = False
            self.served += 1
        self._clean = True  # what came meanwhile is fed again, see _feed_callback_parser
        return keepalive

    def _arm_keepalive_timer(self) -> None:
        """The worker's watch closes those that ask nothing (Connection.close_if_mute): no timer for each request."""

    def connection_lost(self, exc: Exception | None) -> None:
        """gunicorn would leave the task three seconds to find out."""
        super().connection_lost(exc)
        if (self._serving or self._awaiting_request) and self._task is not None:
            self._task.cancel()

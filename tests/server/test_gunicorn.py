"""What our worker relies on inside gunicorn. A new gunicorn that moves any of it fails here, and says where."""

import ast
import asyncio
import inspect
import re
import textwrap
from typing import Any

import gunicorn
import pytest
from gunicorn.arbiter import Arbiter
from gunicorn.asgi import protocol, websocket
from gunicorn.asgi.lifespan import LifespanManager
from gunicorn.asgi.parser import CallbackRequest
from gunicorn.config import Config
from gunicorn.glogging import Logger
from gunicorn.workers.gasgi import ASGIWorker

from mediastream.server.connection import Connection
from mediastream.server.worker import MediaWorker


def attributes_set(function: Any) -> set[str]:
    """The names assigned on `self` in a function's body."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and getattr(node.value, "id", "") == "self"
    }


def test_gunicorn_has_the_asgi_worker_we_subclass() -> None:
    assert tuple(int(part) for part in gunicorn.__version__.split(".")) >= (27, 0, 1)


@pytest.mark.parametrize(
    "name",
    [
        "transport", "app", "reader", "_is_ssl", "_closed", "_conn_lost_handled", "_awaiting_request",
        "_current_request", "_response_buffer", "_flow_control", "_task", "_callback_parser", "_h2c_buffer",
        "_keepalive", "_pre_request", "_post_request", "worker", "log", "cfg", "_finishing_calls", "_websocket",
    ],
)  # fmt: skip
def test_the_protocol_keeps_its_state_where_we_look(name: str) -> None:
    assert name in attributes_set(protocol.ASGIProtocol.__init__)


@pytest.mark.parametrize("name", ["loop", "nr_conns", "lifespan", "state"])
def test_the_worker_keeps_its_state_where_we_look(name: str) -> None:
    assert name in attributes_set(ASGIWorker.__init__)


@pytest.mark.parametrize(
    "name",
    [
        "init_process",
        "init_signals",
        "handle_exit_signal",
        "handle_quit_signal",
        "_serve",
        "_shutdown",
        "_get_ssl_context",
        "notify",
    ],
)
def test_the_worker_has_the_methods_we_override_or_call(name: str) -> None:
    assert callable(getattr(ASGIWorker, name))
    assert callable(getattr(MediaWorker, name))


def test_the_methods_we_override_are_still_of_their_kind() -> None:
    assert asyncio.iscoroutinefunction(ASGIWorker._serve)
    assert asyncio.iscoroutinefunction(ASGIWorker._shutdown)
    assert list(inspect.signature(LifespanManager.__init__).parameters)[1:4] == ["app", "logger", "state"]


def test_the_arbiter_starts_a_worker_on_ttin_and_ends_the_oldest_on_ttou() -> None:
    assert "self.num_workers += 1\n        self.manage_workers()" in inspect.getsource(Arbiter.handle_ttin)
    assert "self.num_workers -= 1\n        self.manage_workers()" in inspect.getsource(Arbiter.handle_ttou)
    assert "key=lambda w: w[1].age" in inspect.getsource(Arbiter.manage_workers)


def test_a_body_goes_through_the_method_we_override() -> None:
    """And as an object of any class whose truth is False, which is how a file passes (sending.py)."""
    assert list(inspect.signature(protocol.ASGIProtocol._send_body).parameters) == [
        "self", "body", "chunked", "last", "size",
    ]  # fmt: skip
    source = inspect.getsource(protocol.ASGIProtocol._handle_http_request)
    assert "if body.__class__ is not bytes and body:" in source
    assert "self._send_body(body, use_chunked, not more_body, size)" in source


def test_a_websocket_writes_whole_frames_by_its_transport() -> None:
    """Which we replace by one that looks at each frame (broadcasting.py). The handshake's answer comes before that,
    and a refusal in its place."""
    tree = ast.parse(inspect.getsource(websocket))
    writing = [
        function.name
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for call in ast.walk(function)
        if isinstance(call, ast.Call) and ast.unparse(call.func).endswith("transport.write")
    ]
    assert writing == ["_deny", "_send_accept", "_send_frame"]
    assert {"transport", "closed"} <= attributes_set(websocket.WebSocketProtocol.__init__)


def test_the_logger_has_what_we_extend() -> None:
    assert {"error_log", "access_log"} <= attributes_set(Logger.__init__)
    assert list(inspect.signature(Logger.setup).parameters) == ["self", "cfg"]
    assert list(inspect.signature(Logger.atoms).parameters) == ["self", "resp", "req", "environ", "request_time"]
    assert "self.atoms(resp, req, environ, request_time)" in inspect.getsource(Logger.access)


def test_the_protocol_has_the_methods_we_call() -> None:
    assert issubclass(Connection, protocol.ASGIProtocol)
    assert callable(protocol.ASGIProtocol._close_transport)
    assert 416 in protocol._REASON_PHRASES


PROTOCOL = protocol.ASGIProtocol


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("_start_http1", ["buffered"]),
        ("_feed_callback_parser", ["data"]),
        ("_serve_http_request", ["request", "sockname", "peername"]),
        ("_handle_http_request", ["request", "sockname", "peername", "complete"]),
        ("_arm_keepalive_timer", []),
        ("_pause_reading", []),
        ("_resume_reading", []),
        ("_safe_write", ["data"]),
        ("data_received", ["data"]),
        ("connection_made", ["transport"]),
        ("connection_lost", ["exc"]),
    ],
)
def test_the_methods_of_the_protocol_take_what_we_give_them(name: str, parameters: list[str]) -> None:
    assert list(inspect.signature(getattr(PROTOCOL, name)).parameters) == ["self", *parameters]


def test_a_request_is_served_by_a_coroutine_that_says_whether_the_connection_is_kept() -> None:
    assert asyncio.iscoroutinefunction(PROTOCOL._serve_http_request)
    assert asyncio.iscoroutinefunction(PROTOCOL._handle_http_request)
    assert inspect.signature(PROTOCOL._handle_http_request).parameters["complete"].default is None
    assert "keepalive = await self._serve_http_request(" in inspect.getsource(PROTOCOL._handle_connection)
    assert inspect.getsource(PROTOCOL._handle_http_request).rstrip().endswith("return keepalive_after_response()")


def test_between_two_requests_gunicorn_awaits_nothing_but_the_next() -> None:
    """To granted.py the connection is clean as soon as a request is served, and until a byte is fed."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(PROTOCOL._handle_connection)))
    (loop,) = (node for node in ast.walk(tree) if isinstance(node, ast.While) and "_closed" in ast.unparse(node.test))
    awaited = [ast.unparse(node.value).partition("(")[0] for node in ast.walk(loop) if isinstance(node, ast.Await)]
    assert set(awaited) == {
        "self._request_ready.wait", "self._handle_h2c_upgrade", "self._handle_websocket", "asyncio.wait",
        "self._serve_http_request",
    }  # fmt: skip
    source = inspect.getsource(PROTOCOL._handle_connection)
    served, waiting = source.index("await self._serve_http_request("), source.index("self._awaiting_request = True")
    assert waiting < source.index("self._awaiting_request = False") < served
    assert source.index("pipelined = self._callback_parser.remaining()") > served
    assert source.index("if not self._feed_callback_parser(pipelined)") > served


def test_bytes_reach_the_parser_by_the_method_we_watch_alone() -> None:
    source = inspect.getsource(PROTOCOL)
    assert source.count("_callback_parser.feed(") == 1
    assert "_callback_parser.feed(" in inspect.getsource(PROTOCOL._feed_callback_parser)


def test_the_parser_is_started_by_the_method_we_put_off() -> None:
    assert "self._start_http1()" in inspect.getsource(PROTOCOL.connection_made)
    assert {"_task", "_request_ready"} <= attributes_set(PROTOCOL._start_http1)


def test_requests_are_counted_as_we_count_them() -> None:
    source = inspect.getsource(PROTOCOL._handle_connection)
    assert "self.worker.nr += 1" in source
    assert "if self.worker.nr >= self.worker.max_requests:" in source
    assert "if self.worker.nr + 1 >= self.worker.max_requests:" in inspect.getsource(PROTOCOL._will_close)


def test_the_idle_are_closed_by_a_timer_that_one_method_arms() -> None:
    assert inspect.getsource(PROTOCOL).count("self._keepalive_timeout\n") == 1
    assert "self._keepalive_timeout" in inspect.getsource(PROTOCOL._arm_keepalive_timer)


def test_the_lines_that_gunicorn_adds_to_an_answer() -> None:
    assert protocol._CACHED_SERVER_HEADER.startswith(b"Server: ")
    assert protocol._CACHED_SERVER_HEADER.endswith(b"\r\n")
    assert re.fullmatch(rb"Date: [^\r\n]+ GMT\r\n", protocol._get_cached_date_header())
    added = inspect.getsource(PROTOCOL._send_response_start)
    assert re.findall(r"parts\.append\((.*)\)", added) == [
        "_CACHED_SERVER_HEADER", "_get_cached_date_header()", 'b"Connection: close\\r\\n"', 'b"\\r\\n"',
    ]  # fmt: skip


def test_a_request_says_its_version_and_whether_it_ends_its_connection() -> None:
    assert "version" in CallbackRequest.__slots__
    assert list(inspect.signature(CallbackRequest.should_close).parameters) == ["self"]


def test_the_hooks_nobody_has_set_are_none() -> None:
    config = Config()
    assert protocol._post_request_hook(config) is None
    assert protocol._pre_request_hook(config, Logger(config)) is None

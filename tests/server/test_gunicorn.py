"""What our worker relies on inside gunicorn. A new gunicorn that moves any of it fails here, and says where."""

import ast
import asyncio
import inspect
import textwrap
from typing import Any

import gunicorn
import pytest
from gunicorn.asgi import protocol
from gunicorn.asgi.lifespan import LifespanManager
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
        "_current_request", "_response_buffer", "_flow_control",
    ],
)  # fmt: skip
def test_the_protocol_keeps_its_state_where_we_look(name: str) -> None:
    assert name in attributes_set(protocol.ASGIProtocol.__init__)


@pytest.mark.parametrize("name", ["loop", "servers", "nr_conns", "lifespan", "state"])
def test_the_worker_keeps_its_state_where_we_look(name: str) -> None:
    assert name in attributes_set(ASGIWorker.__init__)


@pytest.mark.parametrize(
    "name",
    ["init_process", "handle_exit_signal", "handle_quit_signal", "_serve", "_shutdown", "_get_ssl_context", "notify"],
)
def test_the_worker_has_the_methods_we_override_or_call(name: str) -> None:
    assert callable(getattr(ASGIWorker, name))
    assert callable(getattr(MediaWorker, name))


def test_the_methods_we_override_are_still_of_their_kind() -> None:
    assert asyncio.iscoroutinefunction(ASGIWorker._serve)
    assert asyncio.iscoroutinefunction(ASGIWorker._shutdown)
    assert list(inspect.signature(LifespanManager.__init__).parameters)[1:4] == ["app", "logger", "state"]


def test_a_body_goes_through_the_method_we_override() -> None:
    """And as an object of any class whose truth is False, which is how a file passes (sending.py)."""
    assert list(inspect.signature(protocol.ASGIProtocol._send_body).parameters) == [
        "self", "body", "chunked", "last", "size",
    ]  # fmt: skip
    source = inspect.getsource(protocol.ASGIProtocol._handle_http_request)
    assert "if body.__class__ is not bytes and body:" in source
    assert "self._send_body(body, use_chunked, not more_body, size)" in source


def test_the_protocol_has_the_methods_we_call() -> None:
    assert issubclass(Connection, protocol.ASGIProtocol)
    assert callable(protocol.ASGIProtocol._close_transport)
    assert 416 in protocol._REASON_PHRASES

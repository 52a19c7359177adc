"""No line of the log shows a ticket, whoever wrote it."""

import io
import logging
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.test import Client
from gunicorn.config import Config

from mediastream import health, tickets
from mediastream.masking import MASK, Formatter, masked
from mediastream.server.logger import MaskingLogger
from tests.media_library.conftest import collect_static

PATH = "/media/12345678-1234-1234-1234-123456789012/"
QUOTED = "%3A"


@pytest.fixture
def ticket() -> str:
    return tickets.issue(7, "0123456789abcdef", PATH)


@pytest.mark.parametrize(
    "line",
    [
        "{}", "GET /media/x/file?ticket={} HTTP/1.1", "/file?start=1&ticket={}&profile=360p",
        "Cookie: a=b; ticket={}; c=d",
        "<QueryDict: {{'ticket': ['{}']}}>", '"{}"', "b'{}'", "next=/watch/x/%3Fticket%3D{}", "Ticket={}", "x{}x",
    ],
)  # fmt: skip
@pytest.mark.parametrize("quoted", [False, True])
def test_whatever_stands_around_it(ticket: str, line: str, *, quoted: bool) -> None:
    written = ticket.replace(":", QUOTED) if quoted else ticket
    shown = masked(line.format(written))
    assert MASK in shown
    for part in ticket.split(":")[1:]:
        assert part not in shown


def test_what_is_no_ticket_any_more_is_masked_by_its_name() -> None:
    """One whose last digit was lost, and whatever else somebody takes for one."""
    assert masked("?ticket=7:0123&a=b") == f"?ticket={MASK}&a=b"


@pytest.mark.parametrize(
    "line", ["a ticket was given", "tickets=5", "10:20:30", "a 0123456789abcdef", f"stream started item={PATH}"]
)
def test_the_rest_stays(line: str) -> None:
    assert masked(line) == line


def test_a_traceback_too(ticket: str) -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(Formatter("%(message)s"))
    log = logging.Logger("test")
    log.addHandler(handler)
    try:
        raise RuntimeError(f"of ?ticket={ticket}")
    except RuntimeError:
        log.exception("for %s", {"ticket": ticket})
    assert "Traceback" in stream.getvalue()
    assert ticket not in stream.getvalue()
    assert stream.getvalue().count(MASK) >= 2


@pytest.fixture
def django_log() -> Iterator[io.StringIO]:
    """What Django's own loggers would write to the terminal."""
    collect_static()
    lines = io.StringIO()
    ours = [handler for handler in logging.getLogger("django").handlers if isinstance(handler.formatter, Formatter)]
    (handler,) = (handler for handler in ours if isinstance(handler, logging.StreamHandler))
    former = handler.setStream(lines)
    yield lines
    handler.setStream(former)


@pytest.mark.django_db
def test_a_view_that_fails(django_log: io.StringIO, ticket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise RuntimeError(f"of /healthz/live?ticket={ticket}")

    # Not the view itself: if this is what loads the table of URLs, it would stay in there for the tests that follow.
    monkeypatch.setattr(health, "_answer", fail)
    client = Client(raise_request_exception=False)
    client.cookies["ticket"] = ticket
    assert client.get(f"/healthz/live?ticket={ticket}").status_code == 500
    assert "Traceback" in django_log.getvalue()
    assert ticket not in django_log.getvalue()


def test_the_line_of_the_development_server(django_log: io.StringIO, ticket: str) -> None:
    logging.getLogger("django.server").info('"%s" %s %s', f"GET {PATH}file?ticket={ticket} HTTP/1.1", "206", "100")
    assert f"GET {PATH}file?ticket={MASK} HTTP/1.1" in django_log.getvalue()


Gunicorns = tuple[MaskingLogger, Path]


@pytest.fixture
def gunicorns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gunicorns]:
    """gunicorn's logs, both in one file, and the access log's format shows all there is."""
    for name in ("gunicorn.access", "gunicorn.error"):  # pytest has handlers of its own there
        monkeypatch.setattr(logging.getLogger(name), "handlers", [])
    config = Config()
    config.set("accesslog", str(tmp_path / "log"))
    config.set("errorlog", str(tmp_path / "log"))
    config.set("access_log_format", '"%(r)s" "%(m)s %(U)s %(q)s" %(f)s %({cookie}i)s %({raw_uri}e)s')
    made = MaskingLogger(config)
    yield made, tmp_path / "log"
    for log in (made.access_log, made.error_log):
        for handler in log.handlers:
            handler.close()


def write(log: MaskingLogger, target: str, **headers: str) -> None:
    path, _, query = target.partition("?")
    environ = {
        "REQUEST_METHOD": "GET", "RAW_URI": target, "PATH_INFO": path.replace("%0a", "\n"), "QUERY_STRING": query,
        "SERVER_PROTOCOL": "HTTP/1.1", "HTTP_REFERER": headers.get("referer", "-"),
    }  # fmt: skip
    answer = SimpleNamespace(status=206, headers=[], sent=100)
    took = SimpleNamespace(seconds=0, microseconds=1)
    log.access(
        answer, SimpleNamespace(headers=[(name.upper(), value) for name, value in headers.items()]), environ, took
    )


def test_gunicorns_access_log(gunicorns: Gunicorns, ticket: str) -> None:
    log, lines = gunicorns
    write(log, f"{PATH}file?ticket={ticket}", referer=f"http://x/?ticket={ticket}", cookie=f"ticket={ticket}")
    assert ticket not in lines.read_text()
    assert lines.read_text().count(MASK) == 5


def test_gunicorns_other_log(gunicorns: Gunicorns, ticket: str) -> None:
    log, lines = gunicorns
    log.error("Error handling request %s", f"{PATH}file?ticket={ticket}")
    assert f"?ticket={MASK}" in lines.read_text()


def test_a_line_break_in_an_address_makes_no_line_of_the_log(gunicorns: Gunicorns) -> None:
    log, lines = gunicorns
    write(log, "/a%0aforged")
    assert lines.read_text().count("\n") == 1
    assert "GET /a%0aforged " in lines.read_text()


def test_it_can_be_set_up_again(gunicorns: Gunicorns) -> None:
    """As gunicorn does on SIGHUP."""
    log, _ = gunicorns
    for each in (log.access_log, log.error_log):
        for handler in each.handlers:
            handler.close()  # gunicorn forgets to
    log.setup(log.cfg)
    for each in (log.access_log, log.error_log):
        theirs = [handler for handler in each.handlers if hasattr(handler, "_gunicorn")]
        assert [type(handler.formatter) for handler in theirs] == [Formatter]


def test_times_are_those_of_logging() -> None:
    ours, theirs = Formatter("%(asctime)s"), logging.Formatter("%(asctime)s")
    for moment in (0.25, 0.0, 0.999, 1.0, 1700000000.123, 0.5):
        record = logging.makeLogRecord({"created": moment, "msecs": moment % 1 * 1000, "msg": ""})
        assert ours.format(record) == theirs.format(record)


def test_a_format_of_times_is_kept_to() -> None:
    assert Formatter("%(asctime)s", "at %S").format(logging.makeLogRecord({"created": 7.0})) == "at 07"

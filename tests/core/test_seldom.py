import logging

import pytest

from mediastream import seldom
from mediastream.errors import Exhausted
from mediastream.seldom import Seldom, WithoutExhaustion

logger = logging.getLogger("tests.seldom")


def test_many_like_lines_are_said_once_and_counted(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(seldom.time, "monotonic", lambda: now)
    line = Seldom(logger)
    for number in range(1000):
        line.warning("no more: %s", number)
    assert caplog.messages == ["no more: 0"]
    now += seldom.PAUSE
    line.warning("no more: %s", "again")
    line.warning("no more: %s", "too soon")
    now += seldom.PAUSE
    line.warning("no more: %s", "later")
    assert caplog.messages[1:] == [
        "no more: again (999 more like it since the last time)",
        "no more: later (1 more like it since the last time)",
    ]


@pytest.mark.parametrize(
    ("error", "kept"), [(OSError(24, "Too many open files"), False), (Exhausted("x"), False), (KeyError("x"), True)]
)
def test_django_does_not_log_that_the_system_gives_no_more(error: Exception, kept: bool) -> None:
    record = logger.makeRecord("x", logging.ERROR, "", 0, "x", (), (type(error), error, None))
    assert WithoutExhaustion().filter(record) == kept
    assert WithoutExhaustion().filter(logger.makeRecord("x", logging.ERROR, "", 0, "x", (), None))

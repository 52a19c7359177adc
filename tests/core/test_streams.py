"""What is streaming now: listed while it lasts, logged when it starts and ends, and ended when its right has gone."""

import logging
from collections.abc import Iterator

import pytest

from mediastream import streams
from mediastream.streams import Label, Stream, closed, notice, opened


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(streams, "time", made)
    return made


@pytest.fixture(autouse=True)
def nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "_open", set())
    monkeypatch.setattr(streams, "_totals", {})


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.INFO, "mediastream.streams"):
        yield caplog


def made(kind: str = "transcode", clock: Clock | None = None, **fields: object) -> Stream:
    values = {"holds": None, "end": lambda: None, **({"started": clock.now} if clock else {}), **fields}
    return Stream(Label(kind, "x"), **values)  # type: ignore[arg-type]


def test_a_stream_is_logged_when_it_starts_and_when_it_ends(log: pytest.LogCaptureFixture, clock: Clock) -> None:
    stream = opened(made(clock=clock), brief=False)
    assert log.messages == ["stream started kind=transcode item=x"]
    assert streams.open_streams() == {stream}
    stream.bytes = 12345
    clock.now += 61.25
    closed(stream)
    assert log.messages[1:] == ["stream ended kind=transcode item=x bytes=12345 seconds=61.2 reason=complete"]
    assert not streams.open_streams()


@pytest.mark.parametrize("reason", [streams.LEFT, streams.CUT, streams.REVOKED, streams.STALLED])
def test_its_end_says_why(log: pytest.LogCaptureFixture, reason: str) -> None:
    stream = opened(made(), brief=False)
    stream.reason = reason
    closed(stream)
    assert log.messages[1].endswith(f"reason={reason}")


def test_a_brief_one_that_is_over_soon_is_not_logged_but_counted(log: pytest.LogCaptureFixture, clock: Clock) -> None:
    stream = opened(made("file", clock), brief=True)
    clock.now += streams.LASTING
    notice()
    stream.bytes = 7
    closed(stream)
    assert log.messages == []
    assert streams.totals()["file"].bytes == 7


def test_a_brief_one_that_lasts_is_logged_once_and_so_is_its_end(log: pytest.LogCaptureFixture, clock: Clock) -> None:
    stream = opened(made("file", clock), brief=True)
    clock.now += streams.LASTING + 0.5
    notice()
    notice()
    clock.now += 1.5
    closed(stream)
    assert log.messages == [
        "stream started kind=file item=x",
        "stream ended kind=file item=x bytes=0 seconds=4.0 reason=complete",
    ]


def test_totals_by_kind_and_reason() -> None:
    for kind, reason, count in (("file", streams.COMPLETE, 5), ("file", streams.LEFT, 6), ("mjpeg", streams.LEFT, 7)):
        stream = opened(made(kind), brief=True)
        stream.bytes, stream.reason = count, reason
        closed(stream)
        closed(stream)  # by the one who sends, and by the one who closes
    assert streams.totals()["file"].bytes == 11
    assert streams.totals()["file"].ended == {"complete": 1, "left": 1}
    assert streams.totals()["mjpeg"].ended == {"left": 1}


def test_one_whose_right_has_gone_is_ended_once() -> None:
    rights = {"holds": True}
    ended: list[str] = []
    stream = opened(made(holds=lambda: rights["holds"], end=lambda: ended.append(stream.reason)), brief=True)
    notice()
    assert ended == []
    rights["holds"] = False
    notice()
    notice()  # it takes a while to end
    assert ended == ["revoked"]
    closed(stream)
    assert streams.totals()["transcode"].ended == {"revoked": 1}


def test_one_that_needs_no_right_is_not_ended() -> None:
    def end() -> None:
        raise AssertionError("ended")

    opened(made(end=end), brief=True)
    notice()


def test_one_that_is_ending_for_another_reason_keeps_it() -> None:
    stream = opened(made(holds=lambda: False), brief=True)
    stream.reason = streams.STALLED
    notice()
    assert stream.reason == streams.STALLED


def test_one_that_cannot_be_looked_after_keeps_no_other_from_it(caplog: pytest.LogCaptureFixture) -> None:
    """Else one fault would leave every revoked stream open for good."""

    def fail() -> bool:
        raise RuntimeError("of a right")

    ended = []
    for _ in range(5):
        opened(made(holds=fail), brief=True)
        opened(made(holds=lambda: False, end=lambda: ended.append(1)), brief=True)
        opened(made(holds=lambda: False, end=fail), brief=True)
    notice()
    assert len(ended) == 5
    assert sum(record.levelno == logging.ERROR for record in caplog.records) == 10


def test_streams_that_end_within_a_look_are_passed_over() -> None:
    others: list[Stream] = []

    def end() -> None:
        for other in others:
            closed(other)

    others += [opened(made(holds=lambda: False, end=end), brief=True) for _ in range(4)]
    notice()
    assert not streams.open_streams()

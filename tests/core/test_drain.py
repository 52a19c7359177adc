import pytest

from mediastream import drain


def test_begin_calls_each_registered_end_once() -> None:
    calls: list[str] = []
    drain.on_begin(lambda: calls.append("a"))
    release = drain.on_begin(lambda: calls.append("b"))
    release()
    drain.begin()
    drain.begin()
    assert calls == ["a"]
    assert drain.begun()


def test_a_stream_that_starts_while_draining_ends_at_once() -> None:
    drain.begin()
    calls: list[str] = []
    drain.on_begin(lambda: calls.append("late"))
    assert calls == ["late"]


def test_reset_opens_the_latch() -> None:
    drain.begin()
    drain.reset()
    calls: list[str] = []
    drain.on_begin(lambda: calls.append("x"))()
    assert not drain.begun()
    assert calls == []


def test_an_end_that_fails_keeps_no_other_from_ending(caplog: pytest.LogCaptureFixture) -> None:
    """Whichever comes first: the one that fails stands between two others."""
    calls: list[str] = []
    drain.on_begin(lambda: calls.append("before"))
    drain.on_begin(lambda: 1 / 0)  # type: ignore[arg-type, return-value]
    drain.on_begin(lambda: calls.append("after"))
    drain.begin()
    assert sorted(calls) == ["after", "before"]
    assert "could not be ended" in caplog.text

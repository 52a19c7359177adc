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

"""The home loop: the one event loop on which everything lives that outlasts a request.

A camera, a child process, a stream's body belong to one loop. Under ASGI that is the server's own.
Under WSGI, in `manage.py` commands and in Django's test clients there is none (async views get a
loop for the length of one call), so the first use starts one on a daemon thread that lives as long
as the process; children are spawned from it, as a parent-death signal is tied to the thread that
forked (prctl(2), PR_SET_PDEATHSIG).

`run` brings a coroutine home from any loop, `call` from any thread without one, `soon` a mere function from
a signal handler.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any, TypeVar

T = TypeVar("T")

_home: asyncio.AbstractEventLoop | None = None
_starting = threading.Lock()
_settling: "set[asyncio.Task[object]]" = set()  # asyncio keeps only weak references


def adopt() -> None:
    """Make the running loop the home; a server calls this from its own loop before the first request."""
    global _home
    _home = asyncio.get_running_loop()


def home() -> asyncio.AbstractEventLoop:
    """The home loop, started in the background if this process has none."""
    global _home
    if _home is not None and not _home.is_closed():
        return _home
    with _starting:
        if _home is None or _home.is_closed():
            loop = asyncio.new_event_loop()
            threading.Thread(target=loop.run_forever, name="home-loop", daemon=True).start()
            _home = loop
        return _home


async def run(work: Coroutine[Any, Any, T]) -> T:
    """Await `work` on the home loop. Cancelling the caller cancels the work."""
    if home() is asyncio.get_running_loop():
        return await work
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, home()))


def start(work: Coroutine[Any, Any, T]) -> "Future[T]":
    """Run `work` at home; the future is for a thread to wait on. Cancelling it cancels the work."""
    return asyncio.run_coroutine_threadsafe(work, home())


def call(work: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
    """Run `work` at home and block this thread for its result.

    `timeout`: seconds; when they are over the work is cancelled and TimeoutError raised. Must not be
    called on the home loop itself, which would wait for itself.
    """
    future = start(work)
    try:
        return future.result(timeout)
    except FutureTimeout:
        future.cancel()
        raise


def settle(work: Coroutine[Any, Any, object], timeout: float) -> None:
    """As `call`, for whoever closes something: a collector of garbage may do so in any thread, and so on the home loop
    itself, where the work is begun and not waited for."""
    try:
        here = asyncio.get_running_loop() is _home
    except RuntimeError:
        here = False
    if not here:
        call(work, timeout)
        return
    task = asyncio.ensure_future(work)
    _settling.add(task)
    task.add_done_callback(_settling.discard)


def soon(work: Callable[[], None]) -> None:
    """Have `work` called at home; now, if nothing lives there yet.

    Takes no lock: a signal handler may have interrupted the thread that holds it.
    """
    loop = _home
    if loop is None or loop.is_closed():
        work()
    else:
        loop.call_soon_threadsafe(work)

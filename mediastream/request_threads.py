"""The threads in which requests' synchronous Django code runs, and their database connections with them.

asgiref gives each request a thread of its own (connections are bound to threads), starts it for the
request and keeps it until the response has streamed: a thread start for every range, a thread for every
viewer. And when the client leaves while the thread is busy, leaving the context joins it on the loop,
which then stands still for everybody.

So here a page's request is lent a thread and gives it back when its view has answered, or when what a
vanished client left running in it has ended. On the short road (lean.py) a view may wait many seconds for a
camera or an FFmpeg in between, and has no transaction: its calls are spread over a few threads that all such
requests share, and it holds none while it waits.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from asgiref.sync import SyncToAsync, ThreadSensitiveContext
from django.db import close_old_connections

logger = logging.getLogger(__name__)
T = TypeVar("T")

MOST = 16  # at once: twenty logins hash twenty passwords, and with a thread each the streams would stutter

SHARED = 4  # a lean request asks the database one short question


class RequestThread(ThreadPoolExecutor):
    """One thread. What a request first runs in it looks after the connections that the last one left open."""

    def __init__(self) -> None:
        super().__init__(max_workers=1, thread_name_prefix="request")
        self.fresh = True
        self.last: Future[Any] | None = None

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> "Future[T]":
        if self.fresh:
            self.fresh = False
            super().submit(close_old_connections)
        self.last = future = super().submit(fn, *args, **kwargs)
        return future


class SharedThreads(ThreadPoolExecutor):
    """Each call finds a connection that is fit to use, whichever thread takes it."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> "Future[T]":
        return super().submit(_with_connections, fn, *args, **kwargs)


def in_background(fn: Callable[[], object]) -> None:
    """Run it in one of the shared threads; what it raises is logged."""
    _shared.submit(fn).add_done_callback(_log_failure)


def _log_failure(future: "Future[Any]") -> None:
    if not future.cancelled() and (fault := future.exception()) is not None:
        logger.error("in the background: %s", fault, exc_info=fault)


def _with_connections(fn: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    close_old_connections()
    return fn(*args, **kwargs)


class LendingDesk:
    """The threads of one loop. The last given back is the first lent: few are used while few are needed."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._places = asyncio.Semaphore(MOST)
        self._idle: list[RequestThread] = []

    async def lend(self) -> RequestThread:
        await self._places.acquire()
        return self._idle.pop() if self._idle else RequestThread()

    def take_back(self, thread: RequestThread) -> None:
        if thread.last is None or thread.last.done():
            self._shelve(thread)
        else:
            thread.last.add_done_callback(lambda _: self._loop.call_soon_threadsafe(self._shelve, thread))

    def _shelve(self, thread: RequestThread) -> None:
        thread.fresh, thread.last = True, None
        self._idle.append(thread)
        self._places.release()


_shared = SharedThreads(max_workers=SHARED, thread_name_prefix="lean")
_everybodys = ThreadSensitiveContext(executor=_shared)
SyncToAsync.context_to_thread_executor[_everybodys] = _shared
_desks: WeakKeyDictionary[asyncio.AbstractEventLoop, LendingDesk] = WeakKeyDictionary()


@asynccontextmanager
async def shared_threads() -> AsyncIterator[None]:
    """Synchronous code awaited inside runs in one of the few threads of the short road, call by call."""
    async with ThreadSensitiveContext(executor=_shared):
        yield


@contextmanager
def lean_threads() -> Iterator[None]:
    """The same for a task that is a server's own: no `async_to_sync` waits for it, whose thread would be asked first.

    By a context of asgiref's that is never left, as to make and enter one costs a lean view a fifteenth of its time.
    """
    token = SyncToAsync.thread_sensitive_context.set(_everybodys)
    try:
        yield
    finally:
        SyncToAsync.thread_sensitive_context.reset(token)


@asynccontextmanager
async def request_thread() -> AsyncIterator[None]:
    """Synchronous code awaited inside runs in one thread. Requests past MOST wait here, in the order they came."""
    loop = asyncio.get_running_loop()
    desk = _desks.get(loop) or _desks.setdefault(loop, LendingDesk(loop))
    thread = await desk.lend()
    try:
        async with ThreadSensitiveContext(executor=thread):
            yield
    finally:
        desk.take_back(thread)

"""The thread in which a request's synchronous Django code runs, and its database connection with it.

asgiref gives each request a thread of its own (connections are bound to threads). Left alone it lives
until the response has streamed, which is a thread for every viewer; and when the client leaves while the
thread is busy, leaving the context joins it on the loop, which then stands still for everybody.
"""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from weakref import WeakKeyDictionary

from asgiref.sync import ThreadSensitiveContext
from django.db import connections

MOST = 16  # at once: twenty logins hash twenty passwords, and with a thread each the streams would stutter

_places: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


@asynccontextmanager
async def request_thread() -> AsyncIterator[None]:
    """Synchronous code awaited inside runs in one thread, which ends, its connections closed, after this.

    Requests past MOST wait here for a place, in the order they came.
    """
    async with _places.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(MOST)), _thread():
        yield


@asynccontextmanager
async def _thread() -> AsyncIterator[None]:
    executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="request")
    try:
        async with ThreadSensitiveContext(executor=executor):
            yield
    finally:
        # Queued behind whatever a vanished client's view is still doing; nobody waits for it here.
        executor.submit(connections.close_all)
        executor.shutdown(wait=False)

"""The thread in which a request's synchronous Django code runs, and its database connection with it.

asgiref gives each request a thread of its own (connections are bound to threads). Left alone it lives
until the response has streamed, which is a thread for every viewer; and when the client leaves while the
thread is busy, leaving the context joins it on the loop, which then stands still for everybody.
"""

from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from asgiref.sync import ThreadSensitiveContext
from django.db import connections


@asynccontextmanager
async def request_thread() -> AsyncIterator[None]:
    """Synchronous code awaited inside runs in one thread, which ends, its connections closed, after this."""
    executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="request")
    try:
        async with ThreadSensitiveContext(executor=executor):
            yield
    finally:
        # Queued behind whatever a vanished client's view is still doing; nobody waits for it here.
        executor.submit(connections.close_all)
        executor.shutdown(wait=False)

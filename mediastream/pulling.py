"""A body pulled by a thread: what a WSGI server iterates, one thread for each viewer.

PEP 3333 has no way to ask whether the viewer is still there; only a write that fails tells, and the first one
after the viewer has gone still succeeds: it is answered by the reset that makes the next one fail. A stream that
flows is over with its second write. A quiet one, of a camera whose source stalls, would keep its thread for as
long as it is quiet. So it gets heartbeats, where its format has bytes that mean nothing to the viewer:

- multipart/x-mixed-replace: a header field of the coming part (http/multipart.py). A vanished viewer is noticed
  within two heartbeats.
- A transcode's MP4: nothing can go between two chunks of a child's output, which may lie inside a box. It is
  never quiet for long while its child is well, and is cut when it has given nothing for `patience`.
- A file: likewise; its length is promised, and its next byte is only a disk away.

ASGI servers tell of a viewer who leaves, so no heartbeat is sent there.
"""

from collections.abc import Iterator
from concurrent.futures import Future

from mediastream import homeloop
from mediastream.bodies import Body
from mediastream.errors import StreamCut

HEARTBEAT = 2.0  # seconds


def chunks(body: Body) -> Iterator[bytes]:
    """Pull `body`, which lives on the home loop, from this thread; close the iterator before the body."""
    step = _start(body)
    quiet = 0.0
    try:
        while True:
            if not _ended(step, HEARTBEAT):
                quiet += HEARTBEAT
                if beat := body.heartbeat():
                    yield beat
                elif quiet >= body.patience:
                    raise StreamCut(f"the stream gave nothing for {body.patience:g} seconds")
                continue
            chunk = step.result()
            if chunk is None:
                return
            yield chunk
            step, quiet = _start(body), 0.0
    finally:
        step.cancel()


def _start(body: Body) -> "Future[bytes | None]":
    return homeloop.start(next_chunk(body))


async def next_chunk(body: Body) -> bytes | None:
    """None at the end: StopAsyncIteration must not cross from one loop to another."""
    return await anext(body, None)


def _ended(step: "Future[bytes | None]", seconds: float) -> bool:
    """Wait for the step's end. Not `result`, whose TimeoutError may be the step's own."""
    try:
        step.exception(seconds)
    except TimeoutError:
        return False
    return True

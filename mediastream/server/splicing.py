"""A child's output from its pipe to the socket without passing through this process: splice(2).

All that the pipe holds goes out at a time, as one chunk (RFC 9112 section 7.1) whose length is known before. As with a
file (zerocopy.py, which does the sending) there is no task: callbacks of the loop alone.

FFmpeg writes in pieces of 32 KiB. To be woken by each, on the core on which it runs, costs more than to copy them does;
so after each chunk the pipe is left alone for a moment. It must be shorter than FFmpeg takes to fill the pipe, which is
half a millisecond when it copies: a full one makes it wait. What comes later than the moment is sent at once.
"""

import asyncio

from mediastream.bodies import SILENT
from mediastream.errors import StreamCut
from mediastream.pipe import Pipe
from mediastream.server.finetimer import FineTimer
from mediastream.server.sending import FileSendingProtocol
from mediastream.server.zerocopy import Disconnected, Ended, PipeSlice, SocketSender
from mediastream.streams import Stream

GATHER = 0.0003  # seconds


class Splicing:
    """Under way until `ended` is called, with what SocketSender gives it, or until `stop` is."""

    def __init__(self, sender: SocketSender, pipe: Pipe, stream: Stream, ended: Ended, *, chunked: bool) -> None:
        self._loop = asyncio.get_running_loop()
        self._sender, self._pipe, self._stream, self._ended = sender, pipe, stream, ended
        self._chunked = chunked
        self._gathering = FineTimer(self.look)
        self._timer: asyncio.Handle = self._loop.call_soon(self.look)

    def stop(self) -> None:
        """Safe to repeat."""
        self._timer.cancel()
        self._gathering.close()
        self._pipe.unwatch()
        self._sender.stop()

    def look(self) -> None:
        """Send what there is, or wait for it."""
        self._timer.cancel()
        count = self._pipe.count()
        if count is None:
            self._timer = self._loop.call_later(SILENT, self._give_up)
            self._pipe.watch(self.look)
        elif count == 0:
            self._ended(None)
        else:
            head, tail = (b"%x\r\n" % count, b"\r\n") if self._chunked else (b"", b"")
            self._sender.start(head, PipeSlice(self._pipe, count, self._stream), self._sent, tail)

    def _sent(self, fault: Exception | None) -> None:
        """Never on in the same turn, though there may be more: others have theirs between."""
        if fault is not None:
            self._ended(fault)
            return
        if (self._pipe.count() or 0) < self._pipe.enough:
            self._gathering.start(GATHER)
        else:
            self._timer = self._loop.call_soon(self.look)

    def _give_up(self) -> None:
        self._ended(StreamCut(f"nothing came for {SILENT:g} seconds"))


class SplicingProtocol(FileSendingProtocol):
    def can_splice(self) -> bool:
        """Whether `splice` is possible: it needs a descriptor."""
        if not self.can_send_files:
            return False
        try:
            self.sender()
        except OSError:
            return False
        return True

    async def splice(self, pipe: Pipe, stream: Stream) -> None:
        """All that comes out of `pipe`, to its end, for the response under way, whose head and first chunk have been
        sent. Raises StreamCut."""
        await self._flush()
        done = asyncio.get_running_loop().create_future()

        def ended(fault: Exception | None) -> None:
            if not done.done():
                done.set_exception(fault) if fault else done.set_result(None)

        chunked = self._current_request.version >= (1, 1)
        splicing = Splicing(self.sender(), pipe, stream, ended, chunked=chunked)
        try:
            await done
        except Disconnected:
            self.transport.abort()
        finally:
            splicing.stop()

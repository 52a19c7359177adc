"""The job worker as a serving process's child: started, watched, started again, ended with it. On the home loop.

One for each data folder, whoever serves it: the worker holds a lease, and while another has that, this process looks
from time to time whether it is free. A worker dies with its server even by kill -9 (spawning.py), and what it ran is
queued again when the next one starts.
"""

import asyncio
import logging
import os
import sys

from mediastream import drain
from mediastream.environment import ROOT
from mediastream.process import Child
from transcode.jobs import asking

logger = logging.getLogger(__name__)
ARGV = [sys.executable, str(ROOT / "manage.py"), "job_worker", "--log-to-stdout"]
LOOK = 2.0  # seconds between looks whether the lease is free
GRACE = 1.0  # seconds from the stop signal to the kill
SLOWEST = 60.0  # seconds before a worker that does not live is tried again
STEADY = 60.0  # seconds a worker must have lived for the next to be started at once


class Owner:
    def __init__(self) -> None:
        self._child: Child | None = None
        self._ending: asyncio.Task[int] | None = None
        self._release = drain.on_begin(self.end)
        self._task = asyncio.create_task(self._run(), name="job worker")

    async def _run(self) -> None:
        pause = 1.0
        while True:
            if not await self._free():
                await asyncio.sleep(LOOK)
                continue
            began = asyncio.get_running_loop().time()
            await self._serve()
            lived = asyncio.get_running_loop().time() - began
            pause = 1.0 if lived > STEADY else min(2 * pause, SLOWEST)
            await asyncio.sleep(pause)

    async def _free(self) -> bool:
        try:
            return not await asyncio.to_thread(asking.worker_runs)
        except OSError as fault:  # no descriptor is left, for one
            logger.warning("whether a job worker runs cannot be told: %s", fault)
            return False

    async def _serve(self) -> None:
        try:
            # Its log goes to ours; it is a program of ours, and needs the settings that others must not see.
            self._child = Child.spawn(ARGV, stdout=2, environment=os.environ)
        except OSError as fault:
            logger.warning("the job worker cannot be started: %s", fault)
            return
        logger.info("job worker started pid=%d", self._child.pid)
        code = await self._child.wait()
        logger.warning("the job worker ended with %d, and is started again", code)

    def end(self) -> None:
        """Begin to end it: TERM to all its processes, KILL a second later. Safe to repeat."""
        self._task.cancel()
        if self._child is not None and self._ending is None:
            self._ending = asyncio.create_task(self._child.stop(GRACE), name="end of the job worker")

    async def close(self) -> None:
        self._release()
        self.end()
        await asyncio.gather(self._task, return_exceptions=True)
        if self._ending is not None:
            await self._ending


_owner: Owner | None = None


def begin() -> None:
    global _owner
    _owner = Owner()


async def end() -> None:
    global _owner
    owner, _owner = _owner, None
    if owner is not None:
        await owner.close()

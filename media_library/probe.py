"""What is in a file? Asked of a child with a deadline, a memory limit and whitelists (probe_child.py)."""

import json
import logging
import sys
from pathlib import Path

from media_library.facts import Facts
from mediastream import homeloop, process
from mediastream.errors import NotMedia
from mediastream.ffmpeg import STORED_FORMATS, last_words
from mediastream.limits import Limits
from mediastream.process import ChildTimeout

logger = logging.getLogger(__name__)
CHILD = Path(__file__).resolve().parent / "probe_child.py"
DEADLINE = 30.0  # seconds; a 10 GB file on a slow disk takes two
LIMITS = Limits(address_space=3 * 1024**3, cpu_seconds=20)
REFUSED = 3  # probe_child.REFUSED; importing it here would load PyAV into the server


class ProbeFailed(Exception):
    """The probe itself failed: nothing is known of the file, and a later try may do. The text says why."""


async def probe(path: Path) -> Facts:
    """Raises NotMedia (the file's fault, final) or ProbeFailed (ours, passing)."""
    argv = [sys.executable, "-I", str(CHILD), str(path), ",".join(STORED_FORMATS)]
    try:
        finished = await process.run(argv, DEADLINE, LIMITS)
    except ChildTimeout:
        raise ProbeFailed(f"The probe did not finish within {DEADLINE:g} seconds.") from None
    except OSError as fault:
        raise ProbeFailed(f"The probe cannot be started: {fault.strerror}.") from None
    said = finished.stdout.decode(errors="replace").strip()
    if finished.returncode == REFUSED:
        raise NotMedia(f"This file cannot be used: {said}.")
    if finished.returncode != 0:
        # The whole is for the log: visitors read the reason, and a traceback names our folders.
        logger.warning("probe of %s ended with %d: %s", path, finished.returncode, finished.stderr)
        word = last_words(finished.stderr, 1) if finished.stderr else "no word"
        raise ProbeFailed(f"The probe ended with {finished.returncode}: {word}.")
    try:
        return Facts.from_json(json.loads(said))
    except (ValueError, KeyError, TypeError):
        raise ProbeFailed("The probe's answer cannot be read.") from None


def probe_now(path: Path) -> Facts:
    """`probe` for synchronous callers; not on the home loop."""
    return homeloop.call(probe(path), DEADLINE + 10)

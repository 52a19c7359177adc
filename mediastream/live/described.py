"""How a camera is and what its source gives, in words for an administrator: label and text, purely.

The words name hosts, and repeat what FFmpeg said; name, password and key have been taken out (failures.py).
"""

import time
from datetime import datetime

from django.utils.timezone import get_current_timezone

from mediastream.live import jpeg
from mediastream.live.condition import Condition, State
from mediastream.live.facts import Facts
from mediastream.live.failures import Failure
from mediastream.live.frames import Frame
from mediastream.live.placeholder import ago
from mediastream.live.trial import Trial

STATES = {
    State.RESTING: "resting: nobody watches",
    State.STARTING: "starting: no picture yet",
    State.LIVE: "live",
    State.LATE: "late: the next picture is overdue",
    State.RECONNECTING: "reconnecting: it failed, and is tried again",
}
SHOWN_SKIPS = 10  # viewers


def state(now: Condition) -> str:
    told = STATES[now.state]
    if now.captured is not None:
        told += f"; last picture {ago(time.time() - now.captured)} ago"
    return told


def came(facts: Facts | None, rate: float | None, frame: Frame | None = None) -> str:
    """`rate`: pictures a second that were counted; `frame`: one that was made of it."""
    if facts is None:
        return "unknown: no picture yet"
    words = [facts.codec]
    if facts.size is not None:
        words.append("{}x{}".format(*facts.size))
    if facts.rate is not None:
        words.append(f"{facts.rate:g} fps")
    if rate is not None:
        words.append(f"{rate:.1f} pictures a second came")
    words.append("copied as it is" if facts.copied else "encoded as JPEG")
    made = jpeg.size(frame.jpeg) if frame is not None else None
    if made is not None and made != facts.size:
        words.append("shown as {}x{}".format(*made))
    return ", ".join(words)


def watching(now: Condition) -> str:
    """How many, and how many pictures those were too slow for who were."""
    told = f"{now.viewers} viewer" + ("" if now.viewers == 1 else "s")
    slow = sorted((count for count in now.skips if count), reverse=True)
    if slow:
        more = f", and {len(slow) - SHOWN_SKIPS} more" if len(slow) > SHOWN_SKIPS else ""
        told += f"; pictures skipped by each that was too slow: {', '.join(map(str, slow[:SHOWN_SKIPS]))}{more}"
    if now.left_out:
        told += f"; {now.left_out} identical pictures left out"
    return told


def failed(failure: Failure) -> str:
    at = datetime.fromtimestamp(failure.at, get_current_timezone())
    return f"{at:%Y-%m-%d %H:%M:%S}: {failure}"


def tried(trial: Trial) -> str:
    """In one line, how it went."""
    if trial.frame is None:
        assert trial.failure is not None
        return f"No picture: {trial.failure}."
    told = f"It gives pictures; the first came after {trial.seconds:.1f} s."
    return told if trial.failure is None else f"{told} Then {trial.failure}."

"""Why a source gives no picture: one of a few reasons, and the words of who said it.

The words and lines are for administrators: they name hosts and files of ours, but no name, password or key.
"""

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum

from mediastream.ffmpeg import cleaned


class Reason(Enum):
    """The value is for a person, after "it"."""

    REFUSED = "cannot be reached"
    CREDENTIALS = "wants another name or password"
    NO_VIDEO = "gives no video"
    TIMED_OUT = "does not answer in time"
    ENDED = "has ended"


@dataclass(frozen=True)
class Failure:
    """`lines`: the last of FFmpeg's stderr; `at`: Unix seconds."""

    reason: Reason
    words: str
    lines: tuple[str, ...] = ()
    at: float = field(default_factory=time.time, compare=False)

    def __str__(self) -> str:
        return f"it {self.reason.value} ({self.words})"


class CaptureFailed(Exception):
    """A run of a source is over."""

    def __init__(self, reason: Reason, words: str, lines: Iterable[str] = ()) -> None:
        super().__init__(words)
        self.failure = Failure(reason, words, tuple(lines))


_LEVEL = re.compile(r"^(?:\[[^\]]*\] ?)*?\[(?:warning|error|fatal|panic)\] ")
# What comes with each start, or repeats what was said.
_NOISE = re.compile(r"deprecated pixel format|^Impossible to open|^Error opening input file |Last message")
_PREFIX = re.compile(r"^(?:pipe:0: |Error opening input(?: files)?: |Error opening input$)")
# Looked for in this order, as the first mistake makes the later ones.
_SIGNS = (
    (Reason.CREDENTIALS, re.compile(r"\b40[13]\b|authori[sz]ation failed|access denied|authmod|BADSECRET", re.I)),
    (Reason.TIMED_OUT, re.compile(r"timed out|ETIMEDOUT", re.I)),
    (
        Reason.REFUSED,
        re.compile(
            r"refused|resolve host|no route|unreachable|no such (file|device)|permission denied|resource busy"
            r"|\b[45]\d\d |certificate|cannot open (connection|video device)|connection reset|not permitted"
            r"|\b4XX|\b5XX",
            re.I,
        ),
    ),
    (
        Reason.NO_VIDEO,
        re.compile(
            r"invalid data|not on whitelist|matches no streams|does not contain any stream|codec parameters"
            r"|format of input|protocol not found|invalid argument|unsupported",
            re.I,
        ),
    ),
)


def said(stderr: str, secrets: Iterable[str]) -> list[str]:
    """The lines of FFmpeg's stderr that tell of trouble, fit to be shown to an administrator."""
    told: list[str] = []
    for line in stderr.splitlines():
        if not _LEVEL.match(line):
            continue
        for secret in secrets:
            line = line.replace(secret, "***")
        text = _PREFIX.sub("", cleaned(line))
        if text and not _NOISE.search(text) and not any(text in before for before in told):
            told.append(text)
    return told


def of_ffmpeg(stderr: str, returncode: int, secrets: Iterable[str], *, had_pictures: bool) -> CaptureFailed:
    """Why FFmpeg has ended."""
    lines = said(stderr, secrets)
    words = "; ".join(lines[-2:])
    if returncode < 0:
        return CaptureFailed(Reason.ENDED, f"FFmpeg was ended by signal {-returncode}", lines)
    if had_pictures:
        return CaptureFailed(Reason.ENDED, words or "FFmpeg came to its end", lines)
    for reason, sign in _SIGNS:
        if any(sign.search(line) for line in lines):
            return CaptureFailed(reason, words, lines)
    return CaptureFailed(Reason.NO_VIDEO, words or "FFmpeg found none and said nothing", lines)

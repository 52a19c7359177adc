"""What a child may use, and what it is told: the words before its own on the command line, and its environment.

`setpriv`, `prlimit` and `nice` each exec the next program, so that the pid stays the child's own.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass

SECRET_PREFIXES = ("MEDIASTREAM_", "DATABASE_URL", "REDIS_URL", "AWS_")


@dataclass(frozen=True)
class Limits:
    """What a child may use at most; None is no limit. Bytes, CPU seconds, bytes of one written file.

    `niceness`: 0 to 19, by which it gives way to others (nice(1))."""

    address_space: int | None = None
    cpu_seconds: int | None = None
    file_size: int | None = None
    niceness: int = 0

    def argv(self) -> list[str]:
        given = {"--as": self.address_space, "--cpu": self.cpu_seconds, "--fsize": self.file_size}
        return [
            "prlimit",
            "--core=0",
            *(f"{flag}={value}" for flag, value in given.items() if value is not None),
            "--",
            *(["nice", "-n", str(self.niceness)] if self.niceness else []),
        ]


UNLIMITED = Limits()


def guarded(argv: Sequence[str], limits: Limits) -> list[str]:
    """`argv` behind what ties its life to ours and limits it."""
    return ["setpriv", "--pdeathsig", "KILL", "--", *limits.argv(), *argv]


def child_environment() -> dict[str, str]:
    """Our environment without what a child has no use for: secrets."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(SECRET_PREFIXES)}
    # glibc reserves 64 MB of address space for each arena, which a limit on it would count.
    return {"MALLOC_ARENA_MAX": "4", **kept}

"""Tables, printed and kept: bench/results/<name>.md."""

import os
import platform
from datetime import UTC, datetime
from pathlib import Path

RESULTS = Path(__file__).resolve().parent / "results"


def on_core(core: int) -> None:
    """Pin this process, so that client and server do not share a core; where there is one core, do nothing."""
    if core in os.sched_getaffinity(0):
        os.sched_setaffinity(0, {core})


class Table:
    def __init__(self, name: str, *columns: str) -> None:
        self.name = name
        self._lines = [" | ".join(columns), " | ".join("---" for _ in columns)]

    def row(self, *cells: str) -> None:
        self._lines.append(" | ".join(cells))

    def text(self) -> str:
        return "\n".join(f"| {line} |" for line in self._lines)

    def write(self) -> None:
        print(self.text())
        keep(self.name, self.text())


def keep(name: str, text: str) -> None:
    RESULTS.mkdir(exist_ok=True)
    made = f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} shared cores, Python {platform.python_version()}"
    (RESULTS / f"{name}.md").write_text(f"# {name}\n\n`script/bench {name}`, {made}.\n\n{text}\n")

"""What `bench ranges` says: ratio tables, the few figures that matter most, and where the time goes.

The last is written by hand, as it takes a profiler and thought: bench/results/ranges-notes.md, if there is one.
"""

import statistics
from collections.abc import Iterator
from dataclasses import dataclass

from bench.load import KINDS, SEEK, Run
from bench.paused import Paused
from bench.peers.candidate import Candidate
from bench.report import RESULTS, Table

PLAIN = ("uvicorn", "granian", "hypercorn")
NOTES = RESULTS / "ranges-notes.md"
Kinds = dict[str, dict[str, Run]]  # kind -> key of candidate -> median


@dataclass
class Measured:
    """`runs` by number of connections."""

    candidates: list[Candidate]
    left_out: list[str]
    clients: int
    runs: dict[int, Kinds]
    memory: dict[str, Paused]


def text(measured: Measured) -> str:
    parts = [in_short(measured), *(rates(measured, connections) for connections in sorted(measured.runs))]
    parts += [memory(measured), versions(measured), *measured.left_out]
    if NOTES.exists():
        parts.append(NOTES.read_text().strip())
    return "\n\n".join(filter(None, parts))


def best(runs: dict[str, Run], keys: tuple[str, ...]) -> str | None:
    """Which of `keys`, if any was measured, has the highest rate."""
    return max((key for key in keys if key in runs), key=lambda key: runs[key].rate, default=None)


def in_short(measured: Measured) -> str:
    rows = [row for connections, kinds in sorted(measured.runs.items()) for row in against(connections, kinds)]
    if "mediastream" in measured.memory:
        rows.append(("user memory per paused client", kilobytes(measured.memory["mediastream"].user)))
    table = Table("ranges", "mediastream", "figure")
    for what, figure in rows:
        table.row(what, figure)
    return table.text() if rows else ""


def against(connections: int, kinds: Kinds) -> Iterator[tuple[str, str]]:
    """Rates against the best of plain Django, and zero copy against chunks: with grants (mediastream/grants.py), and
    without, as when every request is different."""
    for kind, runs in kinds.items():
        plain, ours, chunks = best(runs, PLAIN), runs.get("mediastream"), runs.get("chunks")
        if ours and plain:
            what = f"{kind}, {counted(connections)}, against the best of plain Django ({plain})"
            yield f"rate at {what}", f"{ours.rate / runs[plain].rate:.1f}"
        for key, requests in (("mediastream", "alike"), ("different", "all different")):
            if chunks and key in runs:
                what = f"{kind}, {counted(connections)}, against our own by chunks, requests {requests}"
                yield f"bytes per CPU second at {what}", f"{chunks.cpu / runs[key].cpu:.1f}"


def rates(measured: Measured, connections: int) -> str:
    """Ratios of the first candidate, which is nginx unless it was not asked for; and its own figures in words."""
    kinds = measured.runs[connections]
    columns = [f"rate, {kind}" for kind in kinds] + [f"CPU s per GB, {kind}" for kind in kinds]
    present = [each for each in measured.candidates if each.key in next(iter(kinds.values()))]
    first = present[0]
    table = Table("ranges", f"{first.name} = 1", *columns)
    for each in present:
        rate = [f"{runs[each.key].rate / runs[first.key].rate:.3f}" for runs in kinds.values()]
        cpu = [f"{runs[each.key].cpu / runs[first.key].cpu:.2f}" for runs in kinds.values()]
        table.row(each.name, *rate, *cpu)
    own = "; ".join(f"{kind} {words(runs[first.key], kind)}" for kind, runs in kinds.items())
    others = statistics.median(run.others for runs in kinds.values() for run in runs.values())
    said = f"{first.name} itself: {own}. Other processes used {others:.0%} of both cores meanwhile."
    return f"## {counted(connections)}\n\n{table.text()}\n\n{said}"


def words(run: Run, kind: str) -> str:
    answers = run.rate * 1e6 / (KINDS[kind] or SEEK)
    shares = f"{run.busy:.0%} of its core, the client {run.client:.0%} of the other"
    return f"{answers:.0f} a second at {run.cpu:.3f} CPU s per GB ({shares})"


def counted(connections: int) -> str:
    return f"{connections} connection{'s' * (connections > 1)}"


def memory(measured: Measured) -> str:
    if not measured.memory:
        return ""
    table = Table("ranges", "for each", "user memory", "send queue in the kernel")
    for each in measured.candidates:
        if each.key in measured.memory:
            figures = measured.memory[each.key]
            table.row(each.name, kilobytes(figures.user), kilobytes(figures.queue))
    return f"## {measured.clients} paused clients\n\n{table.text()}"


def kilobytes(number: float) -> str:
    return f"{number / 1024:.1f} KB"


def versions(measured: Measured) -> str:
    return ", ".join(f"{each.key} {each.version}" for each in measured.candidates if each.version) + "."

"""What `bench feeds` says: a table for each load, and the figures that matter most. Loads are measured one at a time,
so what each found is kept in results/feeds.json, and the page is written anew from all of it.

What a profiler said is written by hand: bench/results/feeds-notes.md.
"""

import json
import statistics
from collections.abc import Iterator
from dataclasses import asdict, astuple, dataclass

from bench import report
from bench.report import RESULTS, Table

KEPT = RESULTS / "feeds.json"
NOTES = RESULTS / "feeds-notes.md"
NAMES = {
    "nchan": "Nchan",
    "mediastream": "mediastream",
    "under_uvicorn": "mediastream under uvicorn",
    "eventstream": "django-eventstream, uvicorn",
}


@dataclass(frozen=True)
class Figures:
    """`cpu`: µs for each event delivered to each reader; `idle`: share of a core before the first; delays in
    milliseconds; `memory`: bytes for each reader; `connects`: a second; `lost`: events missed without a word, `told`:
    those missed that a gap told of; `ended`: connections; `writes`: for each delivery; `client`: share of its core."""

    cpu: float
    idle: float
    p50: float
    p99: float
    memory: float
    connects: float
    lost: float
    told: float
    repeats: float
    ended: float
    writes: float
    client: float

    @classmethod
    def median(cls, rounds: list["Figures"]) -> "Figures":
        """But for memory, which a server that has it once allocated keeps for the next round's readers; and for
        losses, of which none may be."""
        found = dict(zip(asdict(rounds[0]), zip(*map(astuple, rounds), strict=True), strict=True))
        most = ("memory", "lost", "repeats", "ended")
        return cls(**{name: (max if name in most else statistics.median)(values) for name, values in found.items()})


Found = dict[str, Figures]  # by key of the server


def keep(load: str, found: Found) -> None:
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    kept[load] = {key: asdict(figures) for key, figures in found.items()}
    KEPT.write_text(json.dumps(kept, indent=1) + "\n")
    every = {name: {key: Figures(**each) for key, each in by_key.items()} for name, by_key in kept.items()}
    tables = [f"## {name}\n\n{table(name, by_key)}" for name, by_key in every.items()]
    notes = [NOTES.read_text().strip()] if NOTES.exists() else []
    report.keep("feeds", "\n\n".join([in_short(every), *tables, *notes]))


def table(load: str, found: Found) -> str:
    columns = ["server", "CPU µs a delivery", "Nchan = 1", "idle", "ms, half", "ms, 99 %", "KB a reader"]
    made = Table("feeds", *columns, "connects a second", "lost", "told", "repeated", "cut", "writes a delivery")
    reference = found.get("nchan")
    for key, each in found.items():
        ratio = f"{each.cpu / reference.cpu:.2f}" if reference is not None else ""
        made.row(
            NAMES[key], f"{each.cpu:.2f}", ratio, f"{each.idle:.1%}", f"{each.p50:.1f}", f"{each.p99:.1f}",
            f"{each.memory / 1024:.1f}", f"{each.connects:.0f}", f"{each.lost:.0f}", f"{each.told:.0f}",
            f"{each.repeats:.0f}", f"{each.ended:.0f}", f"{each.writes:.2f}",
        )  # fmt: skip
    return made.text()


def in_short(every: dict[str, Found]) -> str:
    made = Table("feeds", "", "figure", "at least", "aim")
    for row in rows(every):
        made.row(*row)
    return made.text()


def rows(every: dict[str, Found]) -> Iterator[tuple[str, str, str, str]]:
    streams, sockets = every.get("sse-1000", {}), every.get("ws-1000", {})
    lost = sum(found[key].lost for found in every.values() for key in ("mediastream", "under_uvicorn") if key in found)
    yield "events lost without a word, bursts included", f"{lost:.0f}", "0", "0"
    if {"nchan", "mediastream", "under_uvicorn"} <= streams.keys():
        nchan, ours, other = (streams[key] for key in ("nchan", "mediastream", "under_uvicorn"))
        yield "CPU per delivery to 1,000, Nchan = 1", f"{ours.cpu / nchan.cpu:.2f}", "1.25", "0.95"
        yield "the same under another server (uvicorn)", f"{other.cpu / nchan.cpu:.2f}", "2.6", "2.0"
        yield "delay of 99 in a hundred to 1,000, Nchan = 1", f"{ours.p99 / nchan.p99:.2f}", "1.5", "1.0"
        yield "memory per idle reader", f"{ours.memory / 1024:.1f} KB", "55 KB", "10 KB"
        yield "connects a second", f"{ours.connects:.0f}", "1000", "5000"
    if {"nchan", "mediastream"} <= sockets.keys():
        ratio = sockets["mediastream"].cpu / sockets["nchan"].cpu
        yield "CPU per delivery to 1,000 WebSockets, Nchan = 1", f"{ratio:.2f}", "1.7", "1.2"
    burst, singly = (every.get(name, {}).get("mediastream") for name in ("burst-in-process", "singly-in-process"))
    if burst is not None and singly is not None:
        share = f"{burst.cpu / singly.cpu:.1%}"
        yield "CPU per delivery of a burst in process to 100, beside one at a time", share, "5 %", "1 %"

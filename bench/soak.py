"""Twenty scripted players that play, seek and leave at random for twenty minutes, over a cache that is too small for
what they watch. In the end there must be no FFmpeg, no stray file, no descriptor more than before, and the cache must
never have been over its quota by more than a segment. Exits with 1 if anything of that is not so.
"""

import argparse
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from bench.children import Children
from bench.report import Table
from bench.scripted import Player, Tally
from tests.media import FAST, H264, SOUND, run_ffmpeg
from tests.system.harness import Server, wait_until

QUOTA = 64 * 1024 * 1024  # bytes: the least that may be set
IDLE = 30.0  # seconds: transcode.session, which only Django can import
TRANSCODES = "12"  # so that of twenty players most do something at any time
TURN = 30  # seconds of a clip, which is repeated
LENGTH = 300  # seconds of an item
SETTLING = 10.0  # seconds for the last FFmpeg to go, after those who left without a word are given up
SPARE = 3  # descriptors: a log, or a connection of a health check, that happens to be open


@dataclass
class Observer:
    """Looks at the server from outside all through, in a thread of its own."""

    server: Server
    over: threading.Event = field(default_factory=threading.Event)
    most_bytes: int = 0
    largest: int = 0  # bytes of the largest file that the cache has held
    most_children: int = 0
    most_memory: int = 0
    faults: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.cache = self.server.data_dir / "cache" / "transcode"
        self.children = Children(self.server.worker().pid, {each.pid for each in self.server.job_processes()})
        self._thread = threading.Thread(target=self._watch, name="observer")
        self._thread.start()

    def close(self) -> None:
        self.over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self.over.wait(0.1):
            sizes = [size for _, size in files(self.cache)]
            self.largest = max(self.largest, *sizes, 0)
            self.most_bytes = max(self.most_bytes, sum(sizes))
            if sum(sizes) > QUOTA + self.largest and len(self.faults) < 10:
                self.faults.append(f"the cache held {sum(sizes)} bytes, its largest file {self.largest}")
            self.most_children = max(self.most_children, self.children.count())
            self.most_memory = max(self.most_memory, self.server.worker().memory_info().rss)


def files(folder: Path) -> Iterator[tuple[Path, int]]:
    """Each with the bytes it takes; some go while we look."""
    for base, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                yield (path := Path(base, name)), path.stat().st_size


def clips(folder: Path) -> Iterator[Path]:
    """One that is copied, with pictures out of their order, one encoded out of an AVI, one of a kind that browsers do
    not show."""
    picture = ["-f", "lavfi", "-i", f"testsrc2=size=1280x720:rate=25:duration={TURN}"]
    recipes = {
        "h264.mp4": [*picture, *SOUND, *H264, "-bf", "2", "-b:v", "6M", "-c:a", "aac", "-shortest"],
        "mpeg4.avi": [*picture, *SOUND, "-c:v", "mpeg4", "-q:v", "4", "-c:a", "libmp3lame", "-shortest"],
        "yuv444.mp4": [*picture, *SOUND, *H264[:-1], "yuv444p", "-c:a", "aac", "-shortest"],
    }
    for name, recipe in recipes.items():
        run_ffmpeg([*recipe, str(short := folder / f"short-{name}")])
        repeated = ["-stream_loop", str(LENGTH // TURN - 1), "-i", str(short), "-c", "copy", *FAST]
        run_ffmpeg([*repeated, str(whole := folder / name)])
        yield whole


def at_rest(server: Server) -> None:
    wait_until(lambda: not server.ffmpegs(), IDLE + SETTLING, "no FFmpeg")
    time.sleep(2)  # for connections that the server keeps open a moment


def strays(server: Server) -> list[str]:
    """Files that are no longer what they were made for: drafts, and what was spooled."""
    known = (".mp4", ".m4s", ".vtt", ".json")
    cached = [path for path, _ in files(server.data_dir / "cache" / "transcode")]
    found = [path for path in cached if path.name.startswith(".") or path.suffix not in known]
    found += [path for path, _ in files(server.data_dir) if "draft" in path.name or path.suffix in (".tmp", ".upload")]
    return sorted({str(path.relative_to(server.data_dir)) for path in found})


def play(server: Server, items: list[str], players: int, seconds: float, seed: int) -> Tally:
    tally, until = Tally(), time.monotonic() + seconds
    crowd = [Player(server.port, items, seed + number, until, tally) for number in range(players)]
    for player in crowd:
        player.start()
    for player in crowd:
        player.join()
    return tally


def soak(server: Server, items: list[str], asked: argparse.Namespace) -> int:
    """How many of the promises were broken."""
    play(server, items, asked.players, min(20.0, 60 * asked.minutes / 4), asked.seed + 1000)
    at_rest(server)  # what opens once and stays is open now
    before = server.descriptors()
    observer = Observer(server)
    try:
        tally = play(server, items, asked.players, 60 * asked.minutes, asked.seed)
        left = time.monotonic()
        with suppress(AssertionError):
            at_rest(server)
        resting = time.monotonic() - left
    finally:
        observer.close()
    held = sum(size for _, size in files(observer.cache))
    said = [line for line in server.log.read_text().splitlines() if "Traceback" in line or " ERROR " in line]
    return report(
        asked, tally, observer,
        {
            "FFmpegs in the end": (len(server.ffmpegs()), 0),
            "descriptors more than before": (max(server.descriptors() - before, 0), SPARE),
            "stray files": (len(stray := strays(server)), 0),
            "bytes over the quota in the end": (max(held - QUOTA, 0), 0),
            "times the cache was over its quota by more than its largest file": (len(observer.faults), 0),
            "answers that no player could use": (len(tally.faults), 0),
            "errors in the server's log": (len(said), 0),
        },
        [*tally.faults[:20], *observer.faults, *stray[:20], *said[:20], f"at rest after {resting:.1f} s"],
    )  # fmt: skip


def report(
    asked: argparse.Namespace, tally: Tally, observer: Observer, checks: dict[str, tuple[int, int]], notes: list[str]
) -> int:
    table = Table("soak", f"{asked.players} players, {asked.minutes:g} minutes", "figure", "at most")
    for what, (found, most) in checks.items():
        table.row(what, str(found), str(most))
    table.row("MiB in the cache at most, of 64", f"{observer.most_bytes / 2**20:.1f}", "64 and a segment")
    table.row("FFmpegs at once at most", str(observer.most_children), "-")
    table.row("MiB of memory of the worker at most", f"{observer.most_memory / 2**20:.0f}", "-")
    table.row("seconds until a segment was there at most", f"{tally.longest:.1f}", "-")
    for what, number in sorted(tally.counts.items()):
        table.row(f"answers {what}" if what.isdigit() else what, str(number), "-")
    table.write()
    print("\n".join(notes))
    return sum(found > most for found, most in checks.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--players", type=int, default=20)
    parser.add_argument("--seed", type=int, default=6)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server = Server.start(Path(folder) / "data", MEDIASTREAM_CACHE=str(QUOTA), MEDIASTREAM_TRANSCODES=TRANSCODES)
        try:
            added = [server.add_media(clip) for clip in clips(Path(folder))]
            items = [each["hls"].removesuffix("hls/master.m3u8") for each in added]
            broken = soak(server, items, asked)
        finally:
            server.stop()
    sys.exit(f"{broken} of the checks failed" if broken else 0)


if __name__ == "__main__":
    main()

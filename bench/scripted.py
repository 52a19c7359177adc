"""A scripted player: what hls.js, or a browser with stream.mp4, asks the server for, at random but from a seed.

It does not decode. It looks at each answer as far as a player would trip over it: status, type of box, length.
"""

import http.client
import json
import random
import re
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import urljoin, urlsplit

TIMEOUT = 60.0  # seconds; the server answers within half of it, be it with 503
STREAMS = 0.2  # share of plays that take stream.mp4
SAYS_GOODBYE = 0.6  # share of players whose page sends its beacon when it goes
BACKWARDS = 4  # segments a player may jump back by without leaving what it has


class Broken(Exception):
    """An answer that no player could use."""


@dataclass
class Tally:
    """What all players have seen, together."""

    counts: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    longest: float = 0.0  # seconds until a segment was there
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, what: str, number: int = 1) -> None:
        with self._lock:
            self.counts[what] += number

    def fault(self, text: str) -> None:
        with self._lock:
            self.faults.append(text)

    def waited(self, seconds: float) -> None:
        with self._lock:
            self.longest = max(self.longest, seconds)


class Player(threading.Thread):
    """Plays, seeks and leaves until `until` (time.monotonic)."""

    def __init__(self, port: int, items: list[str], seed: int, until: float, tally: Tally) -> None:
        super().__init__(name=f"player {seed}")
        self._port = port
        self._items = items  # "/media/<uuid>/"
        self._random = random.Random(seed)
        self._until = until
        self._tally = tally

    def run(self) -> None:
        while not self._over():
            item = self._random.choice(self._items)
            try:
                self._stream(item) if self._random.random() < STREAMS else self._hls(item)
            except (Broken, OSError, http.client.HTTPException) as fault:
                self._tally.fault(f"{self.name}: {item}: {type(fault).__name__}: {fault}")
                time.sleep(1)

    def _over(self) -> bool:
        return time.monotonic() >= self._until

    def _pause(self, most: float) -> None:
        time.sleep(max(0.0, min(self._random.uniform(0, most), self._until - time.monotonic())))

    # HLS

    def _hls(self, item: str) -> None:
        viewer = f"{self._random.getrandbits(128):032x}"
        plays = self._random.choice(["player=browser", "player=everything"])
        master = f"{item}hls/master.m3u8"
        text = self._get(f"{master}?viewer={viewer}&{plays}").decode()
        variants = [line for line in text.splitlines() if line and not line.startswith("#")]
        sounds = re.findall(r'TYPE=AUDIO.*URI="([^"]+)"', text)
        if not variants:
            raise Broken(f"no variant in {text!r}")
        self._tally.add("plays by HLS")
        try:
            tracks = [urljoin(master, self._random.choice(variants)), *(urljoin(master, sound) for sound in sounds[:1])]
            at = 0
            for _ in range(self._random.randint(1, 6)):
                at = self._watch(tracks, at)
                if self._over():
                    break
                if self._random.random() < 0.2:
                    tracks[0] = urljoin(master, self._random.choice(variants))
                    self._tally.add("changes of rendition")
        finally:
            if self._random.random() < SAYS_GOODBYE:
                self._get(f"{item}hls/leave?viewer={viewer}", "POST", 204)
                self._tally.add("beacons")

    def _watch(self, tracks: list[str], at: int) -> int:
        """Seek, or go on from `at`, and play some segments; the number of the next."""
        lists = [Playlist.read(track, self._get(track).decode()) for track in tracks]
        for playlist in lists:
            self._expect(self._segment(playlist.init), b"ftyp", playlist.init)
        most = min(len(playlist.segments) for playlist in lists)
        if self._random.random() < 0.7:
            for _ in range(self._random.choice([1, 1, 1, 5, 20])):  # a handle dragged along the bar
                at = self._random.randrange(most)
                self._tally.add("seeks")
                self._glance(lists[0].segments[at])
        elif at and self._random.random() < 0.3:
            at = max(0, at - self._random.randint(1, BACKWARDS))
        for number in range(at, min(at + self._random.randint(1, 12), most)):
            for playlist in lists:
                if number < len(playlist.segments):
                    self._expect(self._segment(playlist.segments[number]), b"moof", playlist.segments[number])
            if self._over():
                break
            self._pause(1.5)
            at = number + 1
        return at if at < most else 0

    def _segment(self, path: str) -> bytes:
        """As patient as the page: it waits in line at 503."""
        started = time.monotonic()
        while True:
            data = self._get(path, patient=True)
            if data:
                self._tally.add("segments")
                self._tally.waited(time.monotonic() - started)
                return data
            if self._over():
                return b""
            self._pause(2.0)

    def _expect(self, data: bytes, kind: bytes, path: str) -> None:
        if data and data[4:8] not in (kind, b"styp"):
            raise Broken(f"{path} begins with {data[:8]!r}")

    def _glance(self, path: str) -> None:
        """Ask, and drop the request soon after."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=TIMEOUT)
        try:
            connection.request("GET", path)
            self._pause(0.2)
        finally:
            connection.close()

    # stream.mp4

    def _stream(self, item: str) -> None:
        """From a random position, for a while; then gone, as a page is that was closed or has sought."""
        self._tally.add("plays by stream.mp4")
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=TIMEOUT)
        try:
            connection.request("GET", f"{item}stream.mp4?start={self._random.uniform(0, 200):.3f}")
            answer = connection.getresponse()
            self._tally.add(f"{answer.status}")
            if answer.status == 503:
                return self._pause(3.0)
            if answer.status != 200:
                raise Broken(f"stream.mp4: {answer.status} {answer.read(300)!r}")
            self._expect(answer.read(8), b"ftyp", "stream.mp4")
            end = min(time.monotonic() + self._random.uniform(0, 10), self._until)
            while time.monotonic() < end and answer.read(self._random.choice([4096, 65536, 1024 * 1024])):
                self._tally.add("pieces of streams")
                self._pause(0.2)
        finally:
            connection.close()

    def _get(self, path: str, method: str = "GET", status: int = 200, *, patient: bool = False) -> bytes:
        """The body; b"" for a 503 if `patient`."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=TIMEOUT)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            data = answer.read()
            self._tally.add(f"{answer.status}")
            if answer.status == 503 and patient and answer.headers.get("Retry-After"):
                return b""
            if answer.status != status:
                with suppress(ValueError):
                    data = json.loads(data)["detail"].encode()
                raise Broken(f"{urlsplit(path).path}: {answer.status} {data[:300]!r}")
            return data
        finally:
            connection.close()


@dataclass(frozen=True)
class Playlist:
    init: str
    segments: list[str]

    @classmethod
    def read(cls, address: str, text: str) -> "Playlist":
        init = re.search(r'#EXT-X-MAP:URI="([^"]+)"', text)
        if init is None or not text.endswith("#EXT-X-ENDLIST\n"):
            raise Broken(f"{address} is no whole playlist")
        found = [urljoin(address, line) for line in text.splitlines() if line and not line.startswith("#")]
        return cls(urljoin(address, init[1]), found)

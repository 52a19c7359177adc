"""A camera's H.264 as its recorder gets it, made by FFmpeg once: a key frame each second, a fragment each picture."""

import functools
import tempfile
from collections.abc import Iterable
from pathlib import Path

from mediastream.live.fmp4 import Fmp4Parser, Fragment, Init
from mediastream.live.recording import samples
from mediastream.live.recording.boxes import track
from mediastream.live.recording.draft import Draft
from mediastream.live.recording.recorder import Piece
from mediastream.live.recording.samples import Samples
from mediastream.live.recording.shelf import Shelf
from tests.media import run_ffmpeg

START = 1_795_371_948_061  # Unix milliseconds; no whole second
RATE = 25


@functools.cache
def encoded(seconds: int = 12, size: str = "320x180") -> tuple[bytes, list[Fragment]]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "made.mp4"
        run_ffmpeg([
            "-f", "lavfi", "-i", f"testsrc2=size={size}:rate={RATE}", "-t", str(seconds), "-c:v", "libx264",
            "-preset", "ultrafast", "-g", str(RATE), "-pix_fmt", "yuv420p", "-f", "mp4",
            "-movflags", "empty_moov+default_base_moof+frag_every_frame", str(path),
        ])  # fmt: skip
        init, *fragments = Fmp4Parser().feed(path.read_bytes())
    assert isinstance(init, Init)
    return init.data, [fragment for fragment in fragments if isinstance(fragment, Fragment)]


def pieces(seconds: int = 12, size: str = "320x180", at: float = START / 1000) -> list[Piece]:
    """`at`: Unix seconds of the first."""
    init, fragments = encoded(seconds, size)
    ticks = track(init).timescale
    return [
        Piece(init, fragment.data, fragment.decode_time, fragment.duration, at + fragment.decode_time / ticks)
        for fragment in fragments
    ]


def groups(found: Iterable[Piece]) -> list[Samples]:
    made: list[Samples] = []
    for piece in found:
        part = samples.read(piece.data, track(piece.init))
        if part.sync:
            made.append(Samples())
        made[-1].extend(part)
    return made


def fill(folder: Path, starts: Iterable[int], seconds: int = 2, size: str = "320x180") -> Shelf:
    """A folder with segments of that many seconds at these times."""
    folder.mkdir(parents=True, exist_ok=True)
    init, _ = encoded(12, size)
    shelf = Shelf(folder)
    for start in starts:
        draft = Draft(folder, init, start, 0)
        for group in groups(pieces(12, size))[:seconds]:
            draft.add(group)
        made = draft.finish()
        assert made is not None
        shelf.add(*made)
    return shelf

"""Boxes of MP4 made by hand, for tests that bend them."""

import struct


def box(kind: bytes, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def full(kind: bytes, version: int, flags: int, *content: bytes) -> bytes:
    return box(kind, struct.pack(">I", version << 24 | flags), *content)


def words(*values: int) -> bytes:
    return struct.pack(f">{len(values)}I", *values)


FTYP = box(b"ftyp", b"iso5", words(512), b"iso5iso6mp41")
AVCC = box(b"avcC", bytes((1, 0x42, 0xC0, 0x1F)), b"\xff\xe0\x00")
NON_SYNC = 0x10000


def avc1(width: int = 640, height: int = 360, avcc: bytes = AVCC) -> bytes:
    return box(b"avc1", bytes(24), struct.pack(">HH", width, height), bytes(50), avcc)


def moov(
    timescale: int = 16000, entry: bytes | None = None, version: int = 0, default_duration: int = 0, flags: int = 0
) -> bytes:
    times = bytes(16) if version else bytes(8)
    mdhd = full(b"mdhd", version, 0, times, words(timescale), bytes(8))
    stsd = full(b"stsd", 0, 0, words(1), entry if entry is not None else avc1())
    media = box(b"mdia", mdhd, box(b"minf", box(b"stbl", stsd)))
    trex = full(b"trex", 0, 0, words(1, 1, default_duration, 0, flags))
    return box(b"moov", full(b"mvhd", 0, 0, bytes(96)), box(b"trak", full(b"tkhd", 0, 0), media), box(b"mvex", trex))


def moof(trun: bytes, tfhd: bytes = b"", tfdt: bytes = b"") -> bytes:
    tfhd = tfhd or full(b"tfhd", 0, 0x20000, words(1))
    tfdt = tfdt or full(b"tfdt", 1, 0, bytes(8))
    return box(b"moof", full(b"mfhd", 0, 0, words(1)), box(b"traf", tfhd, tfdt, trun))


def picture(at: int, *, keyframe: bool, duration: int = 640, size: int = 20) -> bytes:
    """One fragment, as FFmpeg writes it."""
    trun = full(b"trun", 0, 0x305, words(1, 0, 0 if keyframe else NON_SYNC, duration, size))
    tfdt = full(b"tfdt", 1, 0, at.to_bytes(8, "big"))
    return moof(trun, tfdt=tfdt) + box(b"mdat", bytes(size))

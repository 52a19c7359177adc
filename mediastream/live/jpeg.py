"""What a JPEG says of itself before its first scan (ITU-T T.81 annex B), and the tables that some leave out.

MJPEG is no standard. Many cameras and AVI files send pictures without Huffman tables, as they always use
those of annex K.3; a browser shows nothing of such a picture until they are put in.
"""

from collections.abc import Iterator
from dataclasses import dataclass

SOI = b"\xff\xd8"
DHT, SOS = 0xC4, 0xDA
_FRAMES = frozenset({*range(0xC0, 0xD0)} - {DHT, 0xC8, 0xCC})  # SOFn
_BASELINE = 0xC0
MOST = 500  # segments and fill bytes before the first scan; a camera has ten
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD8)})  # TEM and RSTn: markers without a length

# Annex K.3, as one DHT segment: for each table its class and number, how many codes there are of each length
# from 1 to 16 bits, and their values; of DC for brightness and colour, then of AC for the two.
STANDARD_TABLES = bytes.fromhex(
    "ffc401a2"
    "00" "00010501010101010100000000000000" "000102030405060708090a0b"
    "01" "00030101010101010101010000000000" "000102030405060708090a0b"
    "10" "0002010303020403050504040000017d"
    "01020300041105122131410613516107227114328191a1082342b1c11552d1f02433627282090a161718191a25262728292a3435"
    "363738393a434445464748494a535455565758595a636465666768696a737475767778797a838485868788898a92939495969798"
    "999aa2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae1e2e3e4e5e6e7e8e9eaf1f2f3f4"
    "f5f6f7f8f9fa"
    "11" "00020102040403040705040400010277"
    "000102031104052131061241510761711322328108144291a1b1c109233352f0156272d10a162434e125f11718191a262728292a"
    "35363738393a434445464748494a535455565758595a636465666768696a737475767778797a82838485868788898a9293949596"
    "9798999aa2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae2e3e4e5e6e7e8e9eaf2f3f4"
    "f5f6f7f8f9fa"
)  # fmt: skip


@dataclass(frozen=True)
class Segment:
    marker: int
    start: int  # of the marker
    end: int


def segments(jpeg: bytes) -> Iterator[Segment]:
    """The segments before the first scan, its own header the last. Ends early where the picture is broken."""
    at = len(SOI)
    for _ in range(MOST):
        if at + 4 > len(jpeg) or jpeg[at] != 0xFF:
            return
        marker = jpeg[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        if marker in _STANDALONE:
            at += 2
            continue
        end = at + 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")
        yield Segment(marker, at, end)
        if marker == SOS or end < at + 4:
            return
        at = end


def size(jpeg: bytes) -> tuple[int, int] | None:
    """Width and height, by its frame header (section B.2.2)."""
    for segment in segments(jpeg):
        if segment.marker in _FRAMES and segment.end <= len(jpeg):
            at = segment.start
            return int.from_bytes(jpeg[at + 7 : at + 9], "big"), int.from_bytes(jpeg[at + 5 : at + 7], "big")
    return None


def with_tables(jpeg: bytes) -> bytes:
    """The picture, with the standard Huffman tables if it is a baseline one that has none."""
    baseline = False
    for segment in segments(jpeg):
        if segment.marker == DHT:
            return jpeg
        baseline |= segment.marker == _BASELINE
        if segment.marker == SOS and baseline:
            return jpeg[: segment.start] + STANDARD_TABLES + jpeg[segment.start :]
    return jpeg

"""Compressed streams out of pieces: whatever a reader is given beside its stream, it decodes to what was meant."""

import io
import zlib

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from mediastream.http.pieces import GZIP, ZSTD, Coding
from tests.decoding import Decoder, decoded

CODINGS = pytest.mark.parametrize("coding", [GZIP, ZSTD], ids=["gzip", "zstd"])


texts = st.one_of(
    st.binary(min_size=1, max_size=40), st.sampled_from([b'data: {"price":12.5}\n\n' * n for n in (1, 40)])
)
steps = st.lists(st.tuples(st.sampled_from(["next", "afresh", "alone", "nothing"]), texts), max_size=40)


@CODINGS
@given(steps=steps)
def test_every_piece_can_be_read_when_it_has_come(coding: Coding, steps: list[tuple[str, bytes]]) -> None:
    stream, decode = coding.stream(), Decoder(coding.name).feed
    wire, plain, inside = coding.head, b"", False
    decode(coding.head)
    for kind, text in steps:
        if kind == "nothing":
            piece, text = coding.nothing, b""
        elif kind == "alone":
            piece, inside = coding.alone(text), False
        else:
            piece, inside = stream.piece(text, afresh=kind == "afresh" or not inside), True
        assert decode(piece) == text
        wire += piece
        plain += text
    wire += coding.end(zlib.crc32(plain), len(plain))
    assert decoded(coding.name, wire) == decoded(coding.name, wire, 1) == plain


@CODINGS
@given(shared=st.lists(st.tuples(texts, st.booleans()), min_size=1, max_size=30), starts=st.sets(st.integers(0, 29)))
def test_one_stream_for_many(coding: Coding, shared: list[tuple[bytes, bool]], starts: set[int]) -> None:
    """Each goes in with a piece that leans on nothing, has some to itself before, and decodes its own."""
    stream = coding.stream()
    pieces = [
        (text, stream.piece(text, afresh=afresh or not number), afresh or not number)
        for number, (text, afresh) in enumerate(shared)
    ]
    for start in starts:
        wire, plain, inside = coding.head, b"", False
        for text, piece, afresh in pieces[start:]:
            inside = inside or afresh
            wire += piece if inside else coding.alone(text)
            plain += text
        assert decoded(coding.name, wire + coding.end(zlib.crc32(plain), len(plain))) == plain


@CODINGS
@pytest.mark.parametrize("size", [1, 65_535, 131_072, 131_073, 1_000_000])
def test_any_size_but_none(coding: Coding, size: int) -> None:
    text = (bytes(range(256)) * (size // 256 + 1))[:size]
    stream = coding.stream()
    wire = coding.head + coding.alone(text) + stream.piece(text, afresh=True) + coding.alone(text)
    plain = 3 * text
    assert decoded(coding.name, wire + coding.end(zlib.crc32(plain), len(plain))) == plain


def test_a_reader_of_frames_reads_on() -> None:
    wire = ZSTD.head + ZSTD.alone(b"one") + ZSTD.nothing + ZSTD.alone(b"two") + ZSTD.end(0, 0)
    with zstandard.ZstdDecompressor().stream_reader(io.BytesIO(wire), read_across_frames=True) as reader:
        assert reader.read() == b"onetwo"


def test_the_sum_of_gzip_is_looked_at() -> None:
    with pytest.raises(zlib.error):
        decoded("gzip", GZIP.head + GZIP.alone(b"x") + GZIP.end(zlib.crc32(b"y"), 1))

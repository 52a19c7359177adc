"""Frames of a server, read as RFC 6455 section 5.2 has them."""

import struct

import pytest

from mediastream.http.websocket import text_frame


def read(frame: bytes) -> bytes:
    assert frame[0] == 0x81  # final, text
    size, at = frame[1], 2
    assert size < 128, "a server's frame is not masked"
    if size == 126:
        (size,), at = struct.unpack_from("!H", frame, 2), 4
        assert size > 125, "the shortest length there is"
    elif size == 127:
        (size,), at = struct.unpack_from("!Q", frame, 2), 10
        assert size > 65535, "the shortest length there is"
    assert len(frame) == at + size
    return frame[at:]


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 1_000_000])
def test_a_message_of_any_length(size: int) -> None:
    assert read(text_frame(b"x" * size)) == b"x" * size


def test_what_it_looks_like() -> None:
    assert text_frame("é".encode()) == b"\x81\x02\xc3\xa9"

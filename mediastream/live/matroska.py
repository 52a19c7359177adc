"""JPEGs as a Matroska stream, purely: how the pictures reach an encoder with their own times.

FFmpeg's readers of bare JPEGs know where a picture ends only when the next one begins, and give it the time at which
they saw it. Matroska (RFC 9559) states both, so that no picture waits for another and the encoder's output has our
times. Each picture is a cluster of its own, as a cluster's blocks are within 32 seconds of it.
"""

_UNKNOWN = b"\x01" + b"\xff" * 7  # a size for what never ends, section 4.2 of RFC 8794
_EBML, _SEGMENT, _INFO, _TRACKS, _TRACK = "1A45DFA3", "18538067", "1549A966", "1654AE6B", "AE"
_CLUSTER, _TIMESTAMP, _BLOCK = "1F43B675", "E7", "A3"
_MILLISECOND = 1_000_000  # nanoseconds


def opening(width: int, height: int, fps: int) -> bytes:
    """What goes before the first picture. `fps`: as they usually come; the encoder's rate control asks it."""
    head = _element(_EBML, _element("4282", b"matroska"), _number("4287", 4), _number("4285", 2))
    written_by = _element("4D80", b"mediastream") + _element("5741", b"mediastream")
    info = _element(_INFO, _number("2AD7B1", _MILLISECOND), written_by)
    pixels = _element("E0", _number("B0", width), _number("BA", height))
    track = _element(
        _TRACK, _number("D7", 1), _number("73C5", 1), _number("83", 1), _element("86", b"V_MJPEG"),
        _number("23E383", 1_000_000_000 // fps), pixels,
    )  # fmt: skip
    return b"".join((head, bytes.fromhex(_SEGMENT), _UNKNOWN, info, _element(_TRACKS, track)))


def picture(jpeg: bytes, milliseconds: int) -> bytes:
    """One picture at its time since the first. A block: track 1, no time of its own, a keyframe."""
    return _element(_CLUSTER, _number(_TIMESTAMP, milliseconds), _element(_BLOCK, b"\x81\x00\x00\x80", jpeg))


def _element(number: str, *content: bytes) -> bytes:
    size = sum(map(len, content))
    return b"".join((bytes.fromhex(number), _size(size), *content))


def _number(number: str, value: int) -> bytes:
    return _element(number, value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big"))


def _size(value: int) -> bytes:
    """As few bytes as hold it; all ones is kept for the unknown."""
    width = next(width for width in range(1, 9) if value < (1 << 7 * width) - 1)
    return (value | 1 << 7 * width).to_bytes(width, "big")

"""Framing of the two multipart streams: byteranges (RFC 9110 section 14.6) and x-mixed-replace.

multipart/x-mixed-replace has no RFC: it is Netscape's server push of 1995. Two habits of browsers fix
its form here. Chromium paints a part when it sees the *next* boundary, so each part ends with it at
once instead of with the next frame; Safari wants CRLF everywhere and a Content-Length in each part.
"""

from collections.abc import Sequence

from mediastream.http.ranges import Span

MIXED_BOUNDARY = "frame"
MIXED_TYPE = f"multipart/x-mixed-replace; boundary={MIXED_BOUNDARY}"
MIXED_OPENING = f"--{MIXED_BOUNDARY}\r\n".encode()
_MIXED_CLOSING = f"\r\n--{MIXED_BOUNDARY}\r\n".encode()
# What may be sent between two parts. As the boundary has gone out already, this is the head of the next part,
# where a field whose name does not begin with Content- has no meaning (RFC 2046 section 5.1). A blank line
# would end that head, and the last picture once more would look like one of now.
MIXED_HEARTBEAT = b"X-Heartbeat: 1\r\n"


def mixed_part(jpeg: bytes, captured: float) -> bytes:
    """One whole part, the next boundary included. `captured`: Unix seconds, told with six decimals."""
    head = f"Content-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\nX-Timestamp: {captured:.6f}\r\n\r\n"
    return b"".join((head.encode(), jpeg, _MIXED_CLOSING))


def byteranges_type(boundary: str) -> str:
    return f"multipart/byteranges; boundary={boundary}"


def byteranges_head(boundary: str, content_type: str, span: Span, size: int, *, first: bool) -> bytes:
    """What goes before one part's bytes."""
    lead = "" if first else "\r\n"
    head = f"{lead}--{boundary}\r\nContent-Type: {content_type}\r\nContent-Range: {span.content_range(size)}\r\n\r\n"
    return head.encode("latin-1")


def byteranges_tail(boundary: str) -> bytes:
    return f"\r\n--{boundary}--\r\n".encode()


def byteranges_plan(
    boundary: str, content_type: str, spans: Sequence[Span], size: int
) -> tuple[list[tuple[bytes, Span]], bytes, int]:
    """The heads with their spans, in the order asked, the tail, and the exact Content-Length of it all."""
    parts = [
        (byteranges_head(boundary, content_type, span, size, first=index == 0), span)
        for index, span in enumerate(spans)
    ]
    tail = byteranges_tail(boundary)
    return parts, tail, sum(len(head) + span.length for head, span in parts) + len(tail)

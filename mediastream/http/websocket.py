"""Pure: what goes over a WebSocket, RFC 6455. A server's frames are not masked, so that one serves every client."""

import struct

FINAL_TEXT = 0x81  # section 5.2


def text_frame(text: bytes) -> bytes:
    """A message of one frame. `text`: UTF-8."""
    size = len(text)
    if size < 126:
        head = bytes((FINAL_TEXT, size))
    elif size < 1 << 16:
        head = struct.pack("!BBH", FINAL_TEXT, 126, size)
    else:
        head = struct.pack("!BBQ", FINAL_TEXT, 127, size)
    return head + text

"""What is asked of a stored file, and what must come: the table by which every way of serving it is measured.

In the values of headers, `{etag}` and `{date}` stand for the file's own, `{earlier}` and `{later}` for a minute off.
"""

CONTENT = bytes(range(256)) * 16
SIZE = len(CONTENT)

# Range, first byte, byte after the last
ONE = [
    ("bytes=0-0", 0, 1),
    ("bytes=10-19", 10, 20),
    ("bytes=4000-", 4000, SIZE),
    ("bytes=-100", SIZE - 100, SIZE),
    ("bytes=-999999", 0, SIZE),
    ("bytes=4090-99999999999999999999999", 4090, SIZE),
    ("bytes=0-", 0, SIZE),
    ("BYTES= 5-6 , ", 5, 7),
    ("bytes=5-6,9000-9001", 5, 7),
]
WITHOUT_MEANING = ["items=0-1", "bytes=5-2", "bytes=a-b", "bytes", "bytes=", "bytes=1-2;3-4", ""]
SEVERAL = [[(0, 10), (100, 200)], [(3000, SIZE), (0, 1)], [(5, 6), (5, 6), (SIZE - 1, SIZE)]]
COST_MORE_THAN_THE_WHOLE = "bytes=" + ",".join(f"{at}-" for at in range(20))
OUTSIDE = [f"bytes={SIZE}-", "bytes=99999999999999999999999-", "bytes=-0", "bytes=5000-6000"]
# If-Range, and whether it holds
IF_RANGE = [
    ("{etag}", True),
    ("W/{etag}", False),
    ('"other"', False),
    ("{date}", True),
    ("{later}", False),
    ("soon", False),
]
PRECONDITIONS = [
    ("If_None_Match", "{etag}", 304),
    ("If_None_Match", "W/{etag}", 304),
    ("If_None_Match", '"a", {etag}', 304),
    ("If_None_Match", "*", 304),
    ("If_None_Match", '"other"', 200),
    ("If_Modified_Since", "{date}", 304),
    ("If_Modified_Since", "{earlier}", 200),
    ("If_Match", "{etag}", 200),
    ("If_Match", "W/{etag}", 412),
    ("If_Match", '"other"', 412),
    ("If_Unmodified_Since", "{earlier}", 412),
    ("If_Unmodified_Since", "{date}", 200),
]
# Range of an empty file, and the status
EMPTY = [(None, 200), ("bytes=0-", 416), ("bytes=0-0", 416), ("bytes=-1", 200), ("bytes=-0", 416)]


def parts(body: bytes, boundary: bytes) -> list[tuple[str, str, bytes]]:
    """Content-Range, Content-Type and bytes of each part, by RFC 2046 section 5.1 to the letter."""
    opening, closing = b"--" + boundary + b"\r\n", b"\r\n--" + boundary + b"--\r\n"
    assert body.startswith(opening)
    assert body.endswith(closing)
    found = []
    for part in body[len(opening) : -len(closing)].split(b"\r\n" + opening):
        head, _, content = part.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        found.append((headers["Content-Range"], headers["Content-Type"], content))
    return found

"""Stored files sent by the proxy in front of us, by X-Accel-Redirect or X-Sendfile (MEDIASTREAM_SENDFILE).

We decide, the proxy sends. What comes here has been through access, preconditions and ranges already. It
is answered by a header that names the file, and the proxy reads Range once more to cut it. Where proxies
decide otherwise than we do, we send the bytes ourselves, so that a client gets the same answer with the
setting and without:

| request | what a proxy would make of it |
|---|---|
| HEAD; what is 304, 412 or 416 | nothing: ours is the answer already, and no file is sent |
| with If-Match | nginx tests it before it knows our ETag, and says 412 |
| with a date in If-Range | Apache doubts one that is younger than a minute (section 8.8.2.2), and sends the whole |
| a Range that we answer with the whole file | 416, or a part after all |
| several ranges, or one in a rare spelling | Apache joins ranges, lighttpd sorts them, Caddy knows no BYTES=0-1 |
| not from a trusted proxy | nobody would read the header, and the client would get an empty 200 |

The other conditions need no such care: by the same date, every proxy decides as we did; and no client has an
ETag of the proxy's to put into If-None-Match.
"""

import ipaddress
import os
import re
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase

from mediastream.environment import Sendfile

_ONE_RANGE = re.compile(r"bytes=(?:\d+-\d*|-\d+)", re.ASCII)
# Of the body that is not sent; the proxy says its own.
_OF_THE_BODY = frozenset({"content-type", "content-length", "content-range"})


def for_proxy(request: HttpRequest, response: HttpResponseBase, path: Path, content_type: str) -> HttpResponse | None:
    """What to tell the proxy in place of `response`, which would send the file at `path`: its headers, and the
    file's name. None if the proxy is not to send it.

    The name is percent-encoded, which nginx (from 1.5.9 on), Caddy, Apache and lighttpd all undo.
    """
    sendfile: Sendfile | None = settings.SENDFILE
    if sendfile is None or not _is_for_proxy(request, response.status_code, path):
        return None
    told = HttpResponse(content_type=content_type, headers={"Content-Length": "0"})
    for name, value in response.items():
        if name.lower() not in _OF_THE_BODY:
            told[name] = value
    if sendfile.prefix is None:
        told[sendfile.header] = _quoted(path)
    else:
        told[sendfile.header] = sendfile.prefix + _quoted(path.relative_to(settings.MEDIA_ROOT))
        if response.status_code == 200:
            del told["Accept-Ranges"]  # nginx adds it to a 200 whatever we say, and to a 206 never
    return told


def _is_for_proxy(request: HttpRequest, status: int, path: Path) -> bool:
    if request.method != "GET" or not path.is_relative_to(settings.MEDIA_ROOT):
        return False
    if "If-Match" in request.headers or not request.headers.get("If-Range", '"').startswith('"'):
        return False
    wanted = request.headers.get("Range")
    plain = status == 200 if wanted is None else status == 206 and _ONE_RANGE.fullmatch(wanted) is not None
    return plain and _is_trusted(request.META.get("REMOTE_ADDR", ""), tuple(settings.TRUSTED_PROXIES))


def _quoted(path: Path) -> str:
    return quote(os.fsencode(path))


@lru_cache(maxsize=256)
def _is_trusted(address: str, proxies: tuple[str, ...]) -> bool:
    """Whether the other end of the connection is one of MEDIASTREAM_TRUSTED_PROXIES, as gunicorn reads them."""
    if "*" in proxies:
        return True
    try:
        peer = ipaddress.ip_address(address)
    except ValueError:  # a Unix socket, under a server that is not ours
        return False
    return any(peer in ipaddress.ip_network(proxy) for proxy in proxies)

"""Pictures over HTTP, read without FFmpeg: multipart/x-mixed-replace, and single pictures asked for again.

What an address gives is known only from its answer. If that is neither, but video that FFmpeg must decode or
a playlist, `open_http` says so, and FFmpeg opens it anew.

Name and password are given to who asks for them, in the way they are asked for, and to the server that the
address names only: not to one that it redirects to (RFC 9110 section 15.4).
"""

import asyncio
import os
import re
import ssl
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from mediastream.live import jpeg
from mediastream.live.facts import Facts
from mediastream.live.failures import CaptureFailed, Reason
from mediastream.live.frames import Frame, JpegSplitter
from mediastream.live.resolving import Resolver
from mediastream.live.sources import Source
from mediastream.live.terms import Terms

PATIENCE = 10.0  # seconds for a connection, and for an answer's head
REDIRECTS = 5
STILLS_EVERY = 1.0  # seconds, where the address gives single pictures and nobody said how often
_HEADERS = {"User-Agent": "mediastream", "Accept-Encoding": "identity"}
_PLAYLISTS = {"application/vnd.apple.mpegurl", "application/x-mpegurl", "audio/mpegurl", "audio/x-mpegurl"}
_JPEG = {"image/jpeg", "image/jpg", "image/pjpeg"}
_TIMESTAMP = re.compile(rb"^X-Timestamp: *(\d{1,12}(?:\.\d{1,9})?) *\r?$", re.IGNORECASE | re.MULTILINE)
# A clock that is further off than that is another clock; then the time of arrival is nearer to the truth.
CLOCKS_AGREE = (-60.0, 1.0)  # seconds


@dataclass(frozen=True)
class ForFFmpeg:
    """The address gives something else: `recorded`, if it is a file, with an end and at no pace of its own."""

    source: Source
    recorded: bool


class HttpClient:
    """Asks for one address again and again, on one connection if it stays open."""

    def __init__(self, source: Source, terms: Terms) -> None:
        self._url = _url(source.url)
        self._source = source
        self._ssl = not terms.any_certificate
        self._resolver = Resolver(self._url.host or "")
        self._basic: dict[str, str] = {}
        self._digest: tuple[aiohttp.ClientMiddlewareType, ...] = ()
        self._session = aiohttp.ClientSession(
            headers=_HEADERS,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=PATIENCE),
            connector=aiohttp.TCPConnector(limit=2, resolver=self._resolver),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
        )

    async def ask(self) -> aiohttp.ClientResponse:
        """The answer, if it is a success; its body is not read yet. Raises CaptureFailed."""
        try:
            async with asyncio.timeout(PATIENCE):
                return await self._follow()
        except TimeoutError:
            raise CaptureFailed(Reason.TIMED_OUT, f"no answer within {PATIENCE:g} seconds") from None
        except (aiohttp.ClientError, ValueError, OSError) as fault:
            raise _failed(fault) from None

    async def _follow(self) -> aiohttp.ClientResponse:
        url, scheme = self._url, self._url.scheme
        for _ in range(REDIRECTS + 1):
            response = await self._get(url)
            if response.status == 401 and self._may_sign_in(url) and self._sign_in(response):
                response.close()
                response = await self._get(url)
            if response.status not in (301, 302, 303, 307, 308):
                return _accepted(response)
            target = url.join(URL(response.headers.get("Location", "")))
            response.close()
            if target.scheme not in ("http", "https") or (scheme == "https" and target.scheme == "http"):
                raise CaptureFailed(Reason.REFUSED, f"it redirects to {target.scheme or 'nowhere'}")
            self._resolver.check(target.host or "")
            url = target
        raise CaptureFailed(Reason.REFUSED, f"it redirects more than {REDIRECTS} times")

    def _may_sign_in(self, url: URL) -> bool:
        named = bool(self._source.username or self._source.password)
        return named and url.origin() == self._url.origin() and not self._basic and not self._digest

    def _sign_in(self, response: aiohttp.ClientResponse) -> bool:
        """Whether it asks for a name and password in a way we know."""
        wanted = {value.partition(" ")[0].lower() for value in response.headers.getall("WWW-Authenticate", [])}
        name, password = self._source.username, self._source.password
        if "digest" in wanted:
            self._digest = (aiohttp.DigestAuthMiddleware(name, password),)
        elif "basic" in wanted:
            self._basic = {"Authorization": aiohttp.encode_basic_auth(name, password, "utf-8")}
        return bool(wanted & {"digest", "basic"})

    async def _get(self, url: URL) -> aiohttp.ClientResponse:
        ours = url.origin() == self._url.origin()
        return await self._session.get(
            url,
            allow_redirects=False,
            ssl=self._ssl,
            headers=self._basic if ours else None,
            middlewares=self._digest if ours else (),
        )

    async def aclose(self) -> None:
        await self._session.close()


def _url(text: str) -> URL:
    """As it was given, if it can be sent so: a signature in it covers each byte."""
    return URL(text, encoded=text.isascii() and " " not in text)


def _accepted(response: aiohttp.ClientResponse) -> aiohttp.ClientResponse:
    if response.status == 200:
        return response
    response.close()
    said = f"it answers {response.status} {response.reason or ''}".strip()
    raise CaptureFailed(Reason.CREDENTIALS if response.status in (401, 403) else Reason.REFUSED, said)


def _failed(fault: Exception) -> CaptureFailed:
    if isinstance(fault, aiohttp.ClientConnectorCertificateError | ssl.CertificateError):
        return CaptureFailed(Reason.REFUSED, "its certificate is not one that this server trusts")
    if isinstance(fault, aiohttp.ClientConnectorDNSError):
        return CaptureFailed(Reason.REFUSED, "there is no host of its name")
    if isinstance(fault, aiohttp.ServerDisconnectedError | aiohttp.ClientPayloadError):
        return CaptureFailed(Reason.ENDED, "it broke off the connection")
    if isinstance(fault, aiohttp.ClientResponseError | ValueError):
        return CaptureFailed(Reason.NO_VIDEO, "its answer is not HTTP, or too large in its head")
    error = fault.os_error if isinstance(fault, aiohttp.ClientConnectorError) else fault
    number = getattr(error, "errno", None)
    return CaptureFailed(Reason.REFUSED, os.strerror(number) if number else type(fault).__name__)


async def open_http(source: Source, terms: Terms) -> "HttpCapture | ForFFmpeg":
    """Raises CaptureFailed."""
    if urlsplit(source.url).path.endswith(".m3u8"):
        return ForFFmpeg(source.as_hls(), recorded=True)
    client = HttpClient(source, terms)
    try:
        response = await client.ask()
        kind = response.content_type
        stills = kind in _JPEG or terms.still_every is not None
        if stills or kind.startswith("multipart/"):
            every = (terms.still_every or STILLS_EVERY) if stills else None
            return HttpCapture(client, response, every, one=terms.still_every is not None)
        if kind.startswith("text/"):
            raise CaptureFailed(Reason.NO_VIDEO, f"it answers with {kind}")
        recorded = "Content-Length" in response.headers or response.headers.get("Accept-Ranges") == "bytes"
        response.close()
    except BaseException:
        await client.aclose()
        raise
    await client.aclose()
    if kind in _PLAYLISTS:
        return ForFFmpeg(source.as_hls(), recorded=True)
    return ForFFmpeg(source, recorded)


class HttpCapture:
    """Pictures of one answer after another, or of one that goes on.

    `every`: seconds from one asking to the next; None: the first answer is the only one. `one`: of each answer
    only the first picture is wanted, as the rest may never end.
    """

    def __init__(self, client: HttpClient, response: aiohttp.ClientResponse, every: float | None, *, one: bool) -> None:
        self.facts: Facts | None = None
        self.every = every
        self._client = client
        self._response: aiohttp.ClientResponse | None = response
        self._one = one
        self._splitter = JpegSplitter()
        self._asked = time.monotonic()
        self._got = False

    async def read(self) -> list[Frame]:
        if self._response is None:
            assert self.every is not None
            await asyncio.sleep(self._asked + self.every - time.monotonic())
            self._asked, self._got = time.monotonic(), False
            self._response = await self._client.ask()
            self._splitter = JpegSplitter()
        try:
            data = await self._response.content.readany()
        except (aiohttp.ClientError, OSError) as fault:
            raise _failed(fault) from None
        if not data:
            self._end_of_answer()
        frames = self._frames(data)
        if frames and self._one:
            self._response.close()
            self._response = None
            return frames[:1]
        return frames

    def _end_of_answer(self) -> None:
        if self.every is None:
            raise CaptureFailed(Reason.ENDED, "it ended the stream")
        if not self._got:
            raise CaptureFailed(Reason.NO_VIDEO, "its answer has no picture in it")
        self._response = None

    def _frames(self, data: bytes) -> list[Frame]:
        now = time.time()
        frames = [
            Frame(jpeg.with_tables(picture), captured(before, now)) for before, picture in self._splitter.parts(data)
        ]
        if frames:
            self._got = True
            if self.facts is None:
                self.facts = Facts("mjpeg", jpeg.size(frames[0].jpeg), None, copied=True)
        return frames

    def said(self) -> list[str]:
        return []

    async def aclose(self) -> None:
        if self._response is not None:
            self._response.close()
        await self._client.aclose()


def captured(head: bytes, now: float) -> float:
    """When a picture was captured, by the head of its part if that says so (as ours do, and ustreamer's)."""
    told = _TIMESTAMP.findall(head)
    if not told:
        return now
    then = float(told[-1])
    return then if CLOCKS_AGREE[0] <= then - now <= CLOCKS_AGREE[1] else now

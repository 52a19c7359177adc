"""The configurations in docs/deploy.md at work: nginx, Caddy and Apache in front of the real server, over TLS.

Each with the server sending the files and with the proxy sending them, which no client may be able to tell
apart: the same requests go past the proxy, from an address that is not trusted, and must be answered alike.
"""

import http.client
import json
import re
import secrets
import shutil
import statistics
import subprocess
import tempfile
import time
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.media import H264, Clips, run_ffmpeg
from tests.system import proxies
from tests.system.harness import PASSWORD, Server, read_head, wait_until
from tests.system.proxies import Certificate
from tests.system.visitors import Answer, Browser, Front, answer
from tests.system.websocket import WebSocket

pytestmark = pytest.mark.system

MAKE = """
from django.contrib.auth import get_user_model
from mediastream.live.models import Camera
get_user_model().objects.create_user("member", password={password!r})
Camera.objects.create(slug="slow", name="Slow", source={source!r}, fps=2, visibility="public")
"""


@dataclass(frozen=True)
class Stock:
    """A data folder with items in it, to copy."""

    data_dir: Path
    items: dict[str, dict[str, str]]


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Not below pytest's own, which nobody but its user may enter: the proxies are other users."""
    with tempfile.TemporaryDirectory(prefix="mediastream-proxies-") as made:
        Path(made).chmod(0o711)
        yield Path(made)


@pytest.fixture(scope="module")
def certificate(folder: Path) -> Certificate:
    return Certificate.make(folder)


@pytest.fixture(scope="module")
def stock(seeded: Path, clips: Clips, folder: Path) -> Stock:
    # Never started: its commands need no server.
    server = Server(None, 0, shutil.copytree(seeded, folder / "stock"), folder / "stock.log")  # type: ignore[arg-type]
    items = {
        "public": server.add_media(clips["h264.mp4"], "--title", "Größe"),
        "private": server.add_media(clips["h264.mp4"], "--visibility", "private"),
        "long": server.add_media(clips["long.mp4"]),
    }
    gray = folder / "gray.mp4"
    run_ffmpeg(["-f", "lavfi", "-i", "color=gray:size=160x90:rate=10", "-t", "3", *H264, str(gray)])
    server.manage("shell", "-v0", "-c", MAKE.format(password=PASSWORD, source=str(gray)))
    return Stock(server.data_dir, items)


@pytest.fixture(scope="module")
def origins(stock: Stock, folder: Path) -> Iterator[Callable[[str], Server]]:
    """A server for each value of MEDIASTREAM_SENDFILE, started when it is first asked for."""
    started: dict[str, Server] = {}

    def origin(sendfile: str) -> Server:
        if sendfile not in started:
            data_dir = shutil.copytree(
                stock.data_dir, folder / f"data-{len(started)}", ignore=shutil.ignore_patterns("*.sock")
            )
            trust = {"MEDIASTREAM_TRUSTED_PROXIES": "127.0.0.1", "MEDIASTREAM_SENDFILE": sendfile}
            started[sendfile] = Server.start(data_dir, **trust)
            proxies.grant(data_dir)
        return started[sendfile]

    yield origin
    for server in started.values():
        server.stop()


FRONTS = [(name, sendfile) for name in proxies.START for sendfile in (False, True)]


def named(front: tuple[str, bool]) -> str:
    return front[0] + ("-sendfile" if front[1] else "")


# What takes long, and goes through the same lines of the configuration with the setting and without.
once_a_proxy = pytest.mark.parametrize("front", [front for front in FRONTS if front[1]], ids=named, indirect=True)
with_http_2 = pytest.mark.parametrize("front", [("nginx", True), ("caddy", True)], ids=named, indirect=True)


@pytest.fixture(scope="module", params=FRONTS, ids=named)
def front(
    request: pytest.FixtureRequest,
    origins: Callable[[str], Server],
    stock: Stock,
    certificate: Certificate,
    folder: Path,
) -> Iterator[Front]:
    name, sendfile = request.param
    if reason := proxies.missing(name, sendfile=sendfile):
        pytest.skip(reason)
    server = origins(proxies.SENDFILE[name] if sendfile else "")
    site = proxies.new_site(folder / f"{name}-{sendfile}", certificate, server.port, server.data_dir / "media")
    proxy = proxies.START[name](site, sendfile)
    yield Front(proxy, server, stock.items, sendfile)
    proxy.stop()


SAME = (
    "accept-ranges", "cache-control", "content-disposition", "content-range", "etag", "last-modified",
    "x-content-type-options",
)  # fmt: skip


def compared(found: Answer) -> tuple[int, dict[str, str | None], bytes]:
    """What must not differ. A 304 need not say a length (RFC 9110 section 8.6), and Go's server does not."""
    status, headers, body = found
    kind = headers.get("content-type", "")
    if boundary := re.search(r"boundary=\"?([^\";]+)", kind):
        body = body.replace(boundary[1].encode(), b"boundary")
        kind = "multipart"
    same = {name: headers.get(name) for name in SAME} | {"content-type": kind}
    if status != 304:
        same["content-length"] = headers.get("content-length")
    return status, same, body


OTHER = '"another"'
RANGES = [
    "bytes=0-9", "bytes=-5", "bytes=0-", "bytes=900000-", "bytes=5-99999999", "bytes=99999999-", "bytes=0-1,10-11",
    "bytes=10-11,0-1", "bytes=0-5,3-9", "bytes=0-0,-1", "bytes=0-,0-", "bytes=5-2", "bytes=abc", "BYTES=0-9",
    "bytes= 0-1 , 4-5", "lines=0-1", "bytes=" + ",".join(f"{n}-{n}" for n in range(0, 130, 2)),
]  # fmt: skip
CONDITIONS: list[dict[str, str]] = [
    {"If_None_Match": "ETAG"},
    {"If_None_Match": "W/ETAG"},
    {"If_None_Match": OTHER},
    {"If_None_Match": "*"},
    {"If_None_Match": OTHER, "If_Modified_Since": "MODIFIED"},
    {"If_Match": "ETAG"},
    {"If_Match": OTHER},
    {"If_Match": "*"},
    {"If_Modified_Since": "MODIFIED"},
    {"If_Modified_Since": "Sun, 01 Jan 2012 00:00:00 GMT"},
    {"If_Unmodified_Since": "MODIFIED"},
    {"If_Unmodified_Since": "Sun, 01 Jan 2012 00:00:00 GMT"},
    {"Range": "bytes=0-9", "If_Range": "ETAG"},
    {"Range": "bytes=0-9", "If_Range": "W/ETAG"},
    {"Range": "bytes=0-9", "If_Range": OTHER},
    {"Range": "bytes=0-9", "If_Range": "MODIFIED"},
    {"Range": "bytes=0-9", "If_Range": "Sun, 01 Jan 2012 00:00:00 GMT"},
    {"Range": "bytes=0-1,10-11", "If_Range": "ETAG"},
    {"Range": "bytes=0-9", "If_None_Match": OTHER},
    {"Range": "bytes=0-9", "If_None_Match": "ETAG"},
    {"Range": "bytes=0-9", "If_Match": "ETAG"},
]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_client_sees_no_difference(front: Front, method: str) -> None:
    """Ranges, conditions and headers are those of the server itself."""
    path = front.items["public"]["file"]
    _, headers, _ = front.ask_past_it(path)
    cases = [{}, *({"Range": wanted} for wanted in RANGES), *CONDITIONS]
    values = {"ETAG": headers["etag"], "MODIFIED": headers["last-modified"]}
    for case in cases:
        asked = dict(case)
        for word, value in values.items():
            asked = {name: text.replace(word, value) for name, text in asked.items()}
        through, past = (compared(ask(path, method, **asked)) for ask in (front.ask, front.ask_past_it))
        assert through == past, asked


@pytest.mark.parametrize("address", ["poster.jpg", "file?download=1"])
def test_every_stored_file_goes_the_same_way(front: Front, address: str) -> None:
    path = f"/media/{front.items['public']['id']}/{address}"
    assert compared(front.ask(path)) == compared(front.ask_past_it(path))


def test_the_proxy_sends_the_file_if_it_is_asked_to(front: Front) -> None:
    """Of the server's own answer to the proxy nothing is left for a client: the bytes can only be the proxy's."""
    path = front.items["public"]["file"]
    told = answer(http.client.HTTPConnection("127.0.0.1", front.server.port, timeout=20), "GET", path, {})
    _, sent, body = front.ask(path)
    assert len(told[2]) == (0 if front.sendfile else len(body))
    assert len(body) == int(sent["content-length"]) > 0
    assert not {"x-accel-redirect", "x-sendfile"} & sent.keys()
    assert bool({"x-accel-redirect", "x-sendfile"} & told[1].keys()) is front.sendfile


def test_only_the_server_names_files(front: Front) -> None:
    stored = next((front.server.data_dir / "media" / "media").rglob("*.mp4"))
    below = stored.relative_to(front.server.data_dir / "media")
    for path in (f"/_stored/{below}", f"/{below}", f"/_stored/../{below}"):
        assert front.ask(path)[0] in (400, 404)


def test_nobody_gets_more_than_from_the_server(front: Front) -> None:
    path = front.items["private"]["file"]
    member, administrator = Browser(front).sign_in("member"), Browser(front).sign_in("admin")
    for wanted in ({}, {"Range": "bytes=0-9"}):
        for status, (found, headers, body) in (
            (401, front.ask(path, **wanted)),
            (403, member.open(path, **wanted)),
        ):
            assert (found, headers["cache-control"]) == (status, "no-store")
            assert json.loads(body)["error"]
    status, headers, body = administrator.open(path)
    assert (status, headers["cache-control"]) == (200, "private, no-cache")
    assert len(body) == int(headers["content-length"]) > 900_000


def test_signing_in(front: Front) -> None:
    """HTTPS is believed from the proxy, so that the form's origin fits; and no cookie goes out without TLS."""
    browser = Browser(front).sign_in("member")
    assert {cookie.name: cookie.secure for cookie in browser.cookies} == {"sessionid": True, "csrftoken": True}
    assert b"member" in browser.open("/")[2]


def test_a_form_from_elsewhere_is_refused(front: Front) -> None:
    browser = Browser(front)
    browser.opener.addheaders = [("Origin", "https://elsewhere.example")]
    browser.open("/accounts/login/")
    form = {"csrfmiddlewaretoken": browser.cookie("csrftoken").value, "username": "member", "password": PASSWORD}
    assert browser.open("/accounts/login/", urllib.parse.urlencode(form).encode())[0] == 403


@once_a_proxy
def test_uploading(front: Front, clips: Clips) -> None:
    """55 MB: more than the proxies' own limits and buffers."""
    content = clips["long.mp4"].read_bytes()
    title = f"Uploaded {secrets.token_hex(4)}"
    status, _, page = Browser(front).sign_in("admin").upload(title, content)
    assert status == 302, page
    find = f"from media_library.models import Media; print(Media.objects.get(title={title!r}).id)"
    media_id = front.server.manage("shell", "-v0", "-c", find).strip()
    assert front.ask(f"/media/{media_id}/file")[2] == content


@once_a_proxy
def test_a_camera_s_pictures_come_one_by_one(front: Front) -> None:
    pictures_come_one_by_one(front)


def pictures_come_one_by_one(front: Front) -> None:
    """Of 1 KB, two a second: a proxy that filled even a buffer of 4 KB first would bring four at a time, and late."""
    with front.open("/live/slow/mjpeg") as connection:
        status, headers, rest = read_head(connection)
        assert (status, headers["content-type"]) == (200, "multipart/x-mixed-replace; boundary=frame")
        ages = []
        for _ in range(8):
            while not (part := re.search(rb"X-Timestamp: ([\d.]+)\r\n", rest)):
                chunk = connection.recv(65536)
                assert chunk
                rest += chunk
            ages.append(time.time() - float(part[1]))
            rest = rest[part.end() :]
    assert statistics.median(ages) < 0.4, ages


@once_a_proxy
@pytest.mark.parametrize("path", ["stream", "mjpeg"])
def test_ffmpeg_ends_when_the_client_leaves_the_proxy(front: Front, path: str) -> None:
    address = "/live/test-pattern/mjpeg" if path == "mjpeg" else front.items["long"]["stream"]
    wait_until(lambda: not front.server.ffmpegs(), 20, "no FFmpeg left of another test")
    connection = front.open(address)
    status, _, _ = read_head(connection)
    assert status == 200
    assert connection.recv(1000)
    assert len(front.server.ffmpegs()) == 1
    connection.close()
    wait_until(lambda: not front.server.ffmpegs(), 15, "FFmpeg gone")


@once_a_proxy
def test_a_web_socket_passes(front: Front) -> None:
    with WebSocket(front, "/ws/feeds/activity/", origin=front.address) as opened:  # type: ignore[arg-type]
        assert b'"open"' in opened.receive()[1]


@with_http_2
def test_http_2(front: Front) -> None:
    """As browsers speak it: more cameras at once than they open connections, and each stream ends by itself."""
    curl = shutil.which("curl")
    if curl is None or "HTTP2" not in subprocess.run([curl, "-V"], capture_output=True, text=True).stdout:
        pytest.skip("no curl with HTTP/2")
    common = [curl, "-s", "--http2", "--cacert", str(front.proxy.site.certificate.certificate)]
    path = front.items["public"]["file"]
    shown = subprocess.run(
        [*common, "-r", "5-9", "-o", "/dev/null", "-w", "%{http_version} %{http_code} %{size_download}",
         front.address + path],
        capture_output=True, text=True, timeout=20,
    )  # fmt: skip
    assert shown.stdout == "2 206 5"
    outputs = [front.proxy.site.folder / f"camera-{number}" for number in range(8)]
    arguments = [
        argument for output in outputs for argument in (f"{front.address}/live/test-pattern/mjpeg", "-o", str(output))
    ]
    watching = subprocess.Popen([*common, "-N", "-Z", *arguments])
    try:
        for output in outputs:
            wait_until(lambda output=output: pictures(output) > 2, 20, f"pictures in {output.name}")
    finally:
        watching.kill()
        watching.wait()
    wait_until(lambda: not front.server.ffmpegs(), 15, "FFmpeg gone")


def pictures(output: Path) -> int:
    with suppress(FileNotFoundError):
        return output.read_bytes().count(b"X-Timestamp:")
    return 0


@pytest.mark.parametrize("front", [("nginx", False)], ids=named, indirect=True)
def test_plain_http_is_sent_to_https(front: Front) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", front.proxy.site.plain, timeout=20)
    status, headers, _ = answer(connection, "GET", "/watch/?a=b", {"Host": "localhost"})
    assert (status, headers["location"]) == (301, "https://localhost/watch/?a=b")


@pytest.fixture(scope="module")
def cache(origins: Callable[[str], Server], stock: Stock, certificate: Certificate, folder: Path) -> Iterator[Front]:
    """nginx as a cache, before nginx that sends the files, before the server."""
    if reason := proxies.missing("nginx"):
        pytest.skip(reason)
    server = origins(proxies.SENDFILE["nginx"])
    media = server.data_dir / "media"
    origin = proxies.nginx(proxies.new_site(folder / "origin", certificate, server.port, media), sendfile=True)
    edge = proxies.nginx_cache(proxies.new_site(folder / "edge", certificate, origin.site.port, media))
    yield Front(edge, server, stock.items, True)
    edge.stop()
    origin.stop()


def test_a_cache_keeps_what_is_public(cache: Front) -> None:
    path = cache.items["long"]["file"]
    found = [cache.ask(path, Range="bytes=30000000-30000099") for _ in range(2)]
    assert [headers["x-cache-status"] for _, headers, _ in found] == ["MISS", "HIT"]
    _, _, whole = cache.ask_past_it(path)
    assert [body for _, _, body in found] == [whole[30_000_000:30_000_100]] * 2
    # Another part of the same slice of 4 MB, one over two slices, and all of them.
    assert cache.ask(path, Range="bytes=31000000-31000099")[1]["x-cache-status"] == "HIT"
    assert cache.ask(path, Range="bytes=33554400-33554499")[2] == whole[33_554_400:33_554_500]
    assert cache.ask(path)[2] == whole


def test_a_cache_answers_as_the_server_does(cache: Front) -> None:
    path = cache.items["public"]["file"]
    _, headers, _ = cache.ask_past_it(path)
    conditions = [
        {"If_None_Match": headers["etag"]},
        {"If_None_Match": OTHER},
        {"If_Match": headers["etag"]},
        {"If_Match": OTHER},
        {"If_Modified_Since": headers["last-modified"]},
        {"Range": "bytes=0-9", "If_Range": headers["etag"]},
        {"Range": "bytes=0-9", "If_Range": OTHER},
        {"Range": "bytes=0-9", "If_None_Match": OTHER},
    ]
    for case in [{}, *({"Range": wanted} for wanted in RANGES[:5]), *conditions]:
        through, past = cache.ask(path, **case), cache.ask_past_it(path, **case)
        assert through[0] == past[0], case
        if past[0] in (200, 206):
            (_, shown, bytes_shown), (_, sent, bytes_sent) = compared(through), compared(past)
            assert shown | {"accept-ranges": "bytes"} == sent, case  # nginx leaves it out of a 206 that it cuts
            assert bytes_shown == bytes_sent, case
    assert cache.ask(path, Range="bytes=0-1,10-11")[0] == 200


def test_a_cache_keeps_nothing_of_others(cache: Front) -> None:
    """Whoever came before: nobody gets what was an answer to another, neither bytes nor a refusal."""
    path = cache.items["private"]["file"]
    administrator, member = Browser(cache).sign_in("admin"), Browser(cache).sign_in("member")
    for _ in range(2):
        assert cache.ask(path)[0] == 401
        status, headers, body = administrator.open(path)
        assert (status, headers["x-cache-status"], headers["cache-control"]) == (200, "MISS", "private, no-cache")
        assert len(body) > 900_000
        assert member.open(path)[0] == 403


def test_streams_pass_through_a_cache(cache: Front) -> None:
    pictures_come_one_by_one(cache)
    with cache.open(cache.items["long"]["stream"]) as connection:
        status, headers, _ = read_head(connection)
        assert status == 200
        assert "x-cache-status" not in headers
        assert connection.recv(1000)
    wait_until(lambda: not cache.server.ffmpegs(), 15, "FFmpeg gone")

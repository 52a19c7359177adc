"""The same addresses under each server that docs/servers.md names, started by the commands it gives.

What a server cannot do is in the table of servers.py; where it can be seen, it is looked for, so that the
table is taken back when a server learns it.
"""

import json
import re
import shutil
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from mediastream.http.sse import Parser
from tests.media import VIDEO, Clips, run_ffmpeg
from tests.system.harness import Server, read_head, request, wait_until
from tests.system.listening import Listening
from tests.system.servers import COLUMNS, GUIDE, KINDS, UNFRAMED, Running
from tests.system.visiting import Shell

pytestmark = pytest.mark.system

MIB = 1024 * 1024
SOON = 10.0  # seconds for what should take none, on a busy machine
QUIET = "quiet"  # a camera
ACTIVITY = """
from mediastream.feeds.hub import Event, publish
publish("activity", Event("hello"))
for number in range(100):
    publish("activity", Event(str(number) + " " + "x" * 60_000))
publish("activity", Event("last"))
"""
PATTERN = "/live/test-pattern/mjpeg"


@dataclass
class Library:
    """A data folder with what the tests ask for. Servers use it one after another."""

    folder: Path
    film: Path
    public: dict[str, str]
    private: dict[str, str]


@pytest.fixture(scope="module")
def quiet_source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a camera that sends three seconds of pictures at once and then nothing more."""
    picture = tmp_path_factory.mktemp("quiet") / "picture.jpg"
    run_ffmpeg([*VIDEO, "-frames:v", "1", str(picture)])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = threading.Thread(target=serve_quietly, args=(listener, picture.read_bytes()))
        serving.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        serving.join()


@pytest.fixture(scope="module")
def library(seeded: Path, clips: Clips, quiet_source: int, tmp_path_factory: pytest.TempPathFactory) -> Library:
    folder = shutil.copytree(seeded, tmp_path_factory.mktemp("servers") / "data")
    idle = Server(None, 0, folder, folder / "log")  # type: ignore[arg-type]
    public = idle.add_media(clips["long.mp4"])
    private = idle.add_media(clips["silent.mp4"], "--visibility", "private")
    source = f"http://127.0.0.1:{quiet_source}/stream"
    idle.manage("add_camera", QUIET, source, "--visibility", "public")
    return Library(folder, clips["long.mp4"], public, private)


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: kind.name)
def running(request: pytest.FixtureRequest, library: Library) -> Iterator[Running]:
    started = Running.run(request.param, library.folder, library.folder / "log")
    yield started
    started.kill()


@pytest.fixture(autouse=True)
def viewers_gone(request: pytest.FixtureRequest) -> Iterator[None]:
    """What a test has left open, should it fail, is not the next one's trouble."""
    yield
    if "running" in request.fixturenames:
        request.getfixturevalue("running").close_opened()


@pytest.fixture(scope="module")
def shell(library: Library) -> Iterator[Shell]:
    made = Shell(library.folder)
    yield made
    made.close()


def test_a_feed_and_an_event_from_another_process(running: Running, shell: Shell) -> None:
    """Plain and compressed; and a reader who pauses is told all, or what it missed."""
    with ExitStack() as opened:
        slow = opened.enter_context(Listening(running.port, "/feeds/activity/events", buffer=4096))
        slow.until(b"id: ")
        readers = [
            opened.enter_context(Listening(running.port, "/feeds/activity/events", coding))
            for coding in (None, "gzip", "zstd")
        ]
        for reader in readers:
            assert reader.answer.headers["Content-Type"] == "text/event-stream"
            reader.until(b"id: ")
        shell.run(ACTIVITY)
        for reader in readers:
            reader.until(b"data: hello")
        told = told_to(slow)
    numbers = [number for number in told if number is not None]
    assert numbers == sorted(set(numbers))
    assert len(told) == 100


def told_to(reader: Listening) -> list[int | None]:
    """The numbers of what it is told until the last, None for each that a gap tells of."""
    parser, told, parsed = Parser(), list[int | None](), 0
    while True:
        whole = reader.more()
        for message in parser.feed(whole[parsed:]):
            if message.data == "last":
                return told
            if message.event == "gap":
                told += [None] * json.loads(message.data)["dropped"]
            elif message.event == "message" and message.data != "hello":
                told.append(int(message.data.split()[0]))
        parsed = len(whole)


@pytest.fixture
def stoppable(running: Running, library: Library, tmp_path: Path) -> Iterator[Running]:
    """Another one of the same kind, to be stopped."""
    # Sockets cannot be copied, and are each process's own.
    data_dir = shutil.copytree(library.folder, tmp_path / "data", ignore=shutil.ignore_patterns("*.sock"))
    started = Running.run(running.kind, data_dir, tmp_path / "log")
    yield started
    started.close_opened()
    started.kill()


def serve_quietly(listener: socket.socket, picture: bytes) -> None:
    part = b"--f\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n" % (len(picture), picture)
    head = b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=f\r\n\r\n"
    with ExitStack() as kept, suppress(OSError):  # until the listener is shut down
        while True:
            connection, _ = listener.accept()
            kept.enter_context(connection)
            connection.recv(65536)
            connection.sendall(head + 75 * part)


def fetch(running: Running, path: str, *headers: str, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
    """One request on a connection of its own; the body is read to the connection's end, out of its chunks."""
    with running.connect() as connection:
        connection.sendall(request(path, "Connection: close", *headers, method=method))
        status, answered, body = read_head(connection)
        received = bytearray(body)
        while chunk := connection.recv(MIB):
            received += chunk
    return status, answered, dechunked(bytes(received)) if "transfer-encoding" in answered else bytes(received)


def dechunked(received: bytes) -> bytes:
    body = b""
    while received:
        size, _, received = received.partition(b"\r\n")
        length = int(size, 16)
        body, received = body + received[:length], received[length + 2 :]
    return body


def test_a_whole_file(running: Running, library: Library) -> None:
    status, headers, body = fetch(running, library.public["file"])
    content = library.film.read_bytes()
    assert (status, headers["content-length"], headers["accept-ranges"]) == (200, str(len(content)), "bytes")
    assert body == content


@pytest.mark.parametrize(
    ("wanted", "span"),
    [
        ("bytes=0-", slice(0, None)),
        ("bytes=5-9", slice(5, 10)),
        ("bytes=-7", slice(-7, None)),
        ("bytes=300000-1300000", slice(300000, 1300001)),
        ("bytes=50000000-", slice(50000000, None)),
    ],
)
def test_a_range(running: Running, library: Library, wanted: str, span: slice) -> None:
    content = library.film.read_bytes()
    start, stop, _ = span.indices(len(content))
    status, headers, body = fetch(running, library.public["file"], f"Range: {wanted}")
    assert (status, headers["content-range"]) == (206, f"bytes {start}-{stop - 1}/{len(content)}")
    assert headers["content-length"] == str(stop - start)
    assert body == content[start:stop]


def test_several_ranges(running: Running, library: Library) -> None:
    content = library.film.read_bytes()
    status, headers, body = fetch(running, library.public["file"], "Range: bytes=0-99,2000000-2099999,-5")
    boundary = headers["content-type"].partition("boundary=")[2]
    parts = body.split(f"--{boundary}".encode())
    assert (status, parts[0], parts[-1]) == (206, b"", b"--\r\n")
    bodies = [part.partition(b"\r\n\r\n")[2][:-2] for part in parts[1:-1]]
    assert bodies == [content[:100], content[2000000:2100000], content[-5:]]
    assert headers["content-length"] == str(len(body))


def test_conditions(running: Running, library: Library) -> None:
    path = library.public["file"]
    status, whole, body = fetch(running, path, method="HEAD")
    assert (status, body, whole["content-length"]) == (200, b"", str(library.film.stat().st_size))
    same = f"If-Range: {whole['etag']}"
    assert fetch(running, path, "Range: bytes=0-1", same)[0] == 206
    assert len(fetch(running, path, "Range: bytes=0-1", 'If-Range: "other"')[2]) == library.film.stat().st_size
    assert fetch(running, path, f"If-Match: {whole['etag']}", "Range: bytes=0-1")[0] == 206
    assert fetch(running, path, 'If-Match: "other"')[0] == 412
    status, headers, body = fetch(running, path, f"Range: bytes={10**12}-")
    assert (status, headers["content-range"]) == (416, f"bytes */{library.film.stat().st_size}")
    assert json.loads(body)["error"] == "range_not_satisfiable"


def test_a_connection_is_used_again(running: Running, library: Library) -> None:
    """After a 304, too: it has no body, and the next answer follows at once."""
    path = library.public["file"]
    tag = fetch(running, path, method="HEAD")[1]["etag"]
    with running.connect(timeout=SOON) as connection:
        used = 0
        try:
            for headers, status in ((f"If-None-Match: {tag}", 304), ("Range: bytes=9-9", 206), ("X: y", 404)):
                connection.sendall(request(path if status != 404 else "/nowhere", headers))
                answered, described, body = read_head(connection)
                assert answered == status
                length = 0 if status == 304 else int(described["content-length"])
                while len(body) < length:
                    body += connection.recv(length - len(body))
                assert len(body) == length
                used += 1
        except (ConnectionError, AssertionError):
            if running.kind.can("reuse"):
                raise
    assert (used == 3) == running.kind.can("reuse")


def test_refusals(running: Running, library: Library) -> None:
    refused = {
        library.private["file"]: (401, "sign_in_needed"),
        library.private["stream"]: (401, "sign_in_needed"),
        library.public["stream"] + "?profile=none": (400, "bad_input"),
        "/nowhere": (404, "unknown"),
        "/live/none/mjpeg": (404, "unknown"),
    }
    for path, (expected, word) in refused.items():
        status, headers, body = fetch(running, path)
        assert (status, json.loads(body)["error"]) == (expected, word), path
        assert headers["cache-control"] == "no-store"
    status, _, page = fetch(running, "/nowhere", "Accept: text/html")
    assert status == 404
    assert b"<!doctype html>" in page
    status, headers, _ = fetch(running, library.public["file"], method="DELETE")
    assert (status, headers["allow"]) == (405, "GET, HEAD")


def test_a_large_body_is_refused_before_it_comes(running: Running) -> None:
    with running.connect(timeout=SOON if running.kind.can("early 413") else 1) as connection:
        connection.sendall(request("/", f"Content-Length: {100 * MIB}", method="POST"))
        if running.kind.can("early 413"):
            assert read_head(connection)[0] == 413
        else:
            with pytest.raises(TimeoutError):
                connection.recv(1)


def test_head_starts_nothing(running: Running, library: Library) -> None:
    before = {process.pid for process in running.ffmpegs()}
    for path in (library.public["stream"], PATTERN, "/live/test-pattern/snapshot.jpg"):
        status, _, body = fetch(running, path, method="HEAD")
        assert (status, body) == (200, b"")
    assert {process.pid for process in running.ffmpegs()} <= before


def test_a_snapshot(running: Running) -> None:
    status, headers, body = fetch(running, "/live/test-pattern/snapshot.jpg")
    assert (status, headers["content-type"]) == (200, "image/jpeg")
    assert (body[:2], body[-2:]) == (b"\xff\xd8", b"\xff\xd9")


def test_a_proxy_tells_of_https(running: Running) -> None:
    """Django compares a form's Origin with the scheme, and answers 403 to another."""
    _, headers, page = fetch(running, "/accounts/login/")
    cookie = headers["set-cookie"].partition(";")[0]
    token = re.search(rb'csrfmiddlewaretoken" value="(\w+)"', page)
    assert token is not None
    form = b"username=x&password=y&csrfmiddlewaretoken=" + token[1]
    told = ("Origin: https://localhost", "X-Forwarded-Proto: https", f"Cookie: {cookie}", "Connection: close")
    kind = "Content-Type: application/x-www-form-urlencoded"
    with running.connect() as connection:
        head = request("/accounts/login/", *told, kind, f"Content-Length: {len(form)}", method="POST")
        connection.sendall(head + form)
        assert read_head(connection)[0] == (200 if running.kind.can("https") else 403)


def rests(running: Running) -> None:
    wait_until(lambda: not running.ffmpegs(), SOON, "no FFmpeg")


def watch(running: Running, path: str, small: bool = False) -> tuple[socket.socket, bytes]:
    """A viewer who has got the headers, and what of the body came with them. `small`: with little room for bytes
    not yet read, so that the server soon waits for a viewer who pauses."""
    viewer = socket.socket()
    if small:
        viewer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    viewer.settimeout(20)
    viewer.connect(("127.0.0.1", running.port))
    running.opened.append(viewer)
    viewer.sendall(request(path))
    status, _, body = read_head(viewer)
    assert status == 200
    return viewer, body


def leave(running: Running, viewer: socket.socket) -> None:
    running.opened.remove(viewer)
    viewer.close()


def alive(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def pids(processes: list[psutil.Process]) -> set[int]:
    return {process.pid for process in processes}


def test_a_transcode_ends_with_its_viewer(running: Running, library: Library) -> None:
    before = pids(running.ffmpegs())
    viewer, body = watch(running, f"{library.public['stream']}?profile=360p")
    while b"moof" not in body:
        body += viewer.recv(65536)
    assert b"ftyp" in body[:100]
    ours = pids(running.ffmpegs()) - before
    assert len(ours) == 1
    leave(running, viewer)
    wait_until(lambda: not ours & pids(running.ffmpegs()), SOON, "FFmpeg gone")


def test_pictures_come_one_by_one_and_end_with_the_viewer(running: Running) -> None:
    """Each is here a moment after its capture, and not with the next ones."""
    viewer, body = watch(running, PATTERN)
    late, seen = [], 0
    while seen < 12:
        stamps = re.findall(rb"X-Timestamp: ([\d.]+)\r\n", body)
        late += [time.time() - float(stamp) for stamp in stamps[seen:]]
        seen = len(stamps)
        body += viewer.recv(65536)
    assert body.startswith(b"--frame\r\n") or b"\r\n--frame\r\n" in body[:100]
    assert sorted(late)[len(late) // 2] < 1.0  # a bound for pictures held back, not a measurement
    leave(running, viewer)
    rests(running)


def test_a_viewer_who_pauses_is_given_up(running: Running, library: Library) -> None:
    before = pids(running.ffmpegs())
    viewer, _ = watch(running, f"{library.public['stream']}?profile=1080p", small=True)
    ours = pids(running.ffmpegs()) - before
    assert len(ours) == 1
    if running.kind.can("given up"):
        wait_until(lambda: not ours & pids(running.ffmpegs()), 20, "FFmpeg gone")
    else:
        time.sleep(6)  # twice its patience (hasty.py)
        assert ours & pids(running.ffmpegs())
    leave(running, viewer)
    wait_until(lambda: not ours & pids(running.ffmpegs()), SOON, "FFmpeg gone")


def test_viewers_who_pause_take_no_memory(running: Running, library: Library) -> None:
    before = running.memory()
    viewers = [watch(running, library.public["file"], small=True)[0] for _ in range(4)]
    time.sleep(1)
    after = running.memory()
    for viewer in viewers:
        leave(running, viewer)
    size = library.film.stat().st_size
    if running.kind.can("paused"):
        assert after - before < size
    else:  # it may have had as much before, and reuse that
        assert after > 4 * size


def test_a_stream_that_breaks_off_does_not_look_ended(running: Running, library: Library) -> None:
    before = pids(running.ffmpegs())
    viewer, body = watch(running, f"{library.public['stream']}?profile=1080p")
    (child,) = (process for process in running.ffmpegs() if process.pid not in before)
    child.kill()
    viewer.settimeout(SOON if running.kind.can("cut") else 3)
    closed = False
    try:
        while chunk := viewer.recv(65536):
            body = (body + chunk)[-100:]
        closed = True
    except (TimeoutError, ConnectionError) as fault:
        closed = not isinstance(fault, TimeoutError)
    chunked = running.kind.cannot.get("cut") != UNFRAMED
    cut = closed and chunked and not body.endswith(b"0\r\n\r\n")
    assert cut == running.kind.can("cut")


def test_more_viewers_than_threads(running: Running, library: Library) -> None:
    viewers = [watch(running, library.public["file"], small=True)[0] for _ in range(32)]
    with running.connect(timeout=SOON if running.kind.can("at once") else 1) as connection:
        connection.sendall(request("/healthz/live"))
        if running.kind.can("at once"):
            assert read_head(connection)[0] == 200
        else:
            with pytest.raises(TimeoutError):
                connection.recv(1)
            for viewer in viewers[:8]:
                leave(running, viewer)
            connection.settimeout(SOON)
            assert read_head(connection)[0] == 200


def test_a_stop_leaves_nothing(stoppable: Running, library: Library) -> None:
    for path in (f"{library.public['stream']}?profile=360p", PATTERN):
        watch(stoppable, path)
    started, ffmpegs = stoppable.children(), stoppable.ffmpegs()
    assert len(ffmpegs) == 2
    stoppable.process.send_signal(signal.SIGTERM)
    if stoppable.kind.can("stop"):
        wait_until(lambda: not any(alive(child) for child in ffmpegs), 8, "no FFmpeg")  # it is given ten seconds
    stoppable.process.wait(30)
    assert not psutil.wait_procs(started, timeout=5)[1]


def test_a_stream_outlives_the_timeout_of_gthread(library: Library) -> None:
    """It is said to be for the worker's main thread, and no warning is given of it (checks.py)."""
    kind = next(kind for kind in KINDS if kind.name == "gunicorn gthread")
    started = Running.run(kind, library.folder, library.folder / "log", GUNICORN_CMD_ARGS="--timeout 2")
    try:
        viewer, _ = watch(started, PATTERN)
        end = time.monotonic() + 5
        while time.monotonic() < end:
            assert viewer.recv(65536)
    finally:
        started.close_opened()
        started.kill()


def test_the_table_in_the_guide_is_this_one() -> None:
    table = GUIDE.read_text().partition("| server |")
    lines = "".join(table[1:]).partition("\n\n")[0].splitlines()
    header, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    assert header[1:] == list(COLUMNS)
    told = {row[0]: {name for name, cell in zip(header[1:], row[1:], strict=True) if cell != "yes"} for row in rows}
    assert told == {kind.name: set(kind.cannot) for kind in KINDS}

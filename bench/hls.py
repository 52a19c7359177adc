"""HLS beside a bare FFmpeg: a cold segment, thirty viewers, two hundred random seeks, and viewers who leave.

The cold segment's peer is the same command line, run until it has given the whole segment. Times of seeks and of
leaving are those a player sees: from its request, or its beacon, on.
"""

import http.client
import random
import statistics
import subprocess
import tempfile
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.children import Children
from bench.report import Table
from mediastream.ffmpeg import executable
from tests.media import run_ffmpeg
from tests.system.harness import Server, wait_until
from transcode.layout import TARGET

ROUNDS = 7
SEEKS, SEEKING = 200, 20.0  # how many, and in how many seconds
VIEWERS = 30
LEAVES = 300
VIDEO_SECONDS = 600
IDLE = 30.0  # seconds: transcode.session, which only Django can import


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.mkv"
        made = ["-f", "lavfi", "-i", "testsrc2=size=1280x720:rate=25", "-t", "30", "-c:v", "mpeg4", "-q:v", "4"]
        run_ffmpeg([*made, str(clip)])
        long = Path(folder) / "long.mkv"
        run_ffmpeg(["-stream_loop", str(VIDEO_SECONDS // 30 - 1), "-i", str(clip), "-c", "copy", str(long)])
        server = Server.start(Path(folder) / "data", MEDIASTREAM_TRANSCODES="8")
        try:
            base = server.add_media(long)["hls"].removesuffix("master.m3u8") + "video-720p/"
            table = Table("hls", "what", "figure", "at least", "aim")
            table.row("a cold segment of 720p, the same by a bare FFmpeg = 1", cold(server, base, long), "1.3", "1.1")
            table.row("30 viewers of one rendition: encodes", str(crowd(server, base)), "1", "1")
            most, after = seeks(server, base)
            table.row("200 random seeks in 20 s: FFmpegs at once", str(most), "2", "1")
            table.row("seconds from the last to its segment", f"{after:.2f}", "1.5", "0.7")
            what = f"a viewer left, by the beacon, {LEAVES} times: ms to no FFmpeg, median, worst"
            another = server.add_media(long)["hls"].removesuffix("master.m3u8") + "video-720p/"
            table.row(what, leaves(server, another), "1000", "100")
            what = f"a viewer left without a word: ms after {IDLE:g} s to no FFmpeg"
            table.row(what, f"{idle(server, base):.0f}", "1000", "100")
            table.write()
        finally:
            server.stop()


def get(server: Server, path: str, viewer: str, method: str = "GET") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    try:
        connection.request(method, f"{path}?viewer={viewer}")
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def leave(server: Server, base: str, viewer: str) -> None:
    get(server, base.replace("video-720p/", "leave"), viewer, "POST")


def new() -> str:
    return uuid.uuid4().hex


def at_rest(server: Server) -> None:
    wait_until(lambda: not server.ffmpegs(), 60, "no FFmpeg")


def children_of(server: Server) -> Children:
    return Children(server.worker().pid, {process.pid for process in server.job_processes()})


def cold(server: Server, base: str, path: Path) -> str:
    """Each of another part of the film, so that nothing is in the cache."""
    get(server, f"{base}init.mp4", viewer := new())
    leave(server, base, viewer)
    ratios = []
    for number in range(40, 40 + 20 * ROUNDS, 20):
        at_rest(server)
        bare = bare_segment(path, number)
        viewer, started = new(), time.perf_counter()
        status, _ = get(server, f"{base}{number}.m4s", viewer)
        assert status == 200
        ratios.append((time.perf_counter() - started) / bare)
        leave(server, base, viewer)
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def bare_segment(path: Path, number: int) -> float:
    """Seconds until an FFmpeg with the same options has written a segment's seconds, and has ended."""
    command = [
        executable(), "-v", "error", "-ss", str(int(TARGET) * number), "-i", str(path),
        "-map", "0:0", "-t", str(int(TARGET)),
        "-vf", "scale=-2:720,setsar=1,format=yuv420p", "-c:v", "libx264", "-preset", "veryfast", "-crf", "21",
        "-maxrate", "3500000", "-bufsize", "7000000", "-bf", "0", "-sc_threshold", "0", "-g", "1000",
        "-f", "mp4", "-movflags", "empty_moov+default_base_moof+frag_keyframe", "pipe:1",
    ]  # fmt: skip
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def crowd(server: Server, base: str) -> int:
    """The most FFmpegs there were at once."""
    at_rest(server)
    names, most, children = [new() for _ in range(VIEWERS)], 0, children_of(server)
    with ThreadPoolExecutor(VIEWERS) as pool:
        asked = [pool.submit(get, server, f"{base}{number}.m4s", name) for name in names for number in (2, 3)]
        while not all(one.done() for one in asked):
            most = max(most, children.count())
            time.sleep(0.005)
    assert all(one.result()[0] == 200 for one in asked)
    for name in names:
        leave(server, base, name)
    return most


def seeks(server: Server, base: str) -> tuple[int, float]:
    """The most FFmpegs at once, and seconds from the last request to its answer."""
    at_rest(server)
    viewer, most, over, children = new(), 0, threading.Event(), children_of(server)

    def seek(number: int) -> None:
        """As a player does: it drops the request of before."""
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        connection.request("GET", f"{base}{number}.m4s?viewer={viewer}")
        time.sleep(SEEKING / SEEKS)
        connection.close()

    def count() -> None:
        nonlocal most
        while not over.wait(0.005):
            most = max(most, children.count())

    counting = threading.Thread(target=count)
    counting.start()
    for number in random.Random(6).choices(range(60, 260), k=SEEKS - 1):
        seek(number)
    started = time.perf_counter()
    status, _ = get(server, f"{base}290.m4s", viewer)
    after = time.perf_counter() - started
    assert status == 200
    over.set()
    counting.join()
    leave(server, base, viewer)
    return most, after


def idle(server: Server, base: str) -> float:
    """One that is in the middle of it, and waits for its player."""
    at_rest(server)
    children, viewer = children_of(server), new()
    assert get(server, f"{base}270.m4s", viewer)[0] == 200
    started = time.perf_counter()
    assert get(server, f"{base}271.m4s", viewer)[0] == 200
    assert children.count()
    wait_until(lambda: not children.count(), IDLE + 30, "no FFmpeg")
    return 1000 * (time.perf_counter() - started - IDLE)


def leaves(server: Server, base: str) -> str:
    times, children = [], children_of(server)
    # Backwards, so that none has been made by the read-ahead of another.
    for number in range(LEAVES - 1, -1, -1):
        at_rest(server)
        viewer = new()
        asking = threading.Thread(target=get, args=(server, f"{base}{number}.m4s", viewer))
        asking.start()
        wait_until(children.count, 20, "an FFmpeg")
        time.sleep(random.uniform(0, 0.3))  # it starts, decodes, encodes
        started = time.perf_counter()
        leave(server, base, viewer)
        wait_until(lambda: not children.count(), 60, "no FFmpeg")
        times.append(1000 * (time.perf_counter() - started))
        asking.join()
    return f"{statistics.median(times):.0f}, {max(times):.0f}"


if __name__ == "__main__":
    main()

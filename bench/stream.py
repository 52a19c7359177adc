"""A remux by `stream.mp4` beside the same FFmpeg with nothing but `cat` behind it: its first byte, and its last.

And beside what any server would have to do at least: the same FFmpeg with a process behind it that does nothing but
splice the pipe to a socket. What that takes beyond `cat` is the price of TCP on this machine.

The film is Matroska with H.264 and AAC, so that both are copied and FFmpeg has as little to do as it can have. Both run
the same command line, take turns, and have core 0 for what sends (the server and its FFmpeg; FFmpeg alone) and core 1
for what reads.
"""

import fcntl
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.report import Table, on_core
from tests.media import run_ffmpeg
from tests.system.harness import Server, read_head, request, wait_until

ROUNDS = 9  # of two runs that each differ by half from the last on a machine that others use
TIMES = 25  # how often the clip of half a minute is repeated: 590 MB
PIPE = 1024 * 1024  # bytes, as the server makes it
SPLICE = """
import os, socket, sys
to = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
while os.splice(0, to.fileno(), 1024 * 1024): pass
"""
READ = 128 * 1024  # bytes: as many as cat takes at once


def main() -> None:
    on_core(1)
    with tempfile.TemporaryDirectory() as folder:
        film = make(Path(folder))
        server = Server.start(Path(folder) / "data", prefix=("taskset", "-c", "0"), MEDIASTREAM_JOBS="0")
        try:
            path = server.add_media(film)["stream"]
            command = bare(server, path)
            table = Table("stream", f"a remux of {film.stat().st_size / 1e6:.0f} MB", "figure", "at least", "aim")
            table.row("time to read all, `ffmpeg \\| cat` = 1", whole(server, path, command), "1.05", "1.00")
            table.row("the same, FFmpeg and a splice to a socket = 1", beside_splice(server, path, command), "", "")
            table.row("first byte after the request, over FFmpeg's own: ms", first(server, path, command), "30", "5")
            table.write()
        finally:
            server.stop()


def make(folder: Path) -> Path:
    """720p at 6 Mbit/s, with pictures out of their order as most films have."""
    clip, film = folder / "clip.mkv", folder / "film.mkv"
    picture = ["-f", "lavfi", "-i", "testsrc2=size=1280x720:rate=25", "-vf", "noise=alls=20:allf=t"]
    sound = ["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000", "-c:a", "aac", "-b:a", "128k"]
    rate = ["-b:v", "6M", "-maxrate", "6M", "-bufsize", "12M", "-g", "50", "-bf", "2", "-pix_fmt", "yuv420p"]
    coded = ["-c:v", "libx264", "-preset", "ultrafast", *rate]
    run_ffmpeg([*picture[:4], *sound[:4], *picture[4:], *coded, *sound[4:], "-t", "30", str(clip)])
    run_ffmpeg(["-stream_loop", str(TIMES - 1), "-i", str(clip), "-c", "copy", str(film)])
    clip.unlink()
    return film


def bare(server: Server, path: str) -> list[str]:
    """FFmpeg's command line, as the server has it."""
    with server.connect() as connection:
        connection.sendall(request(path))
        assert read_head(connection)[0] == 200
        [running] = server.ffmpegs()
        return list(running.cmdline())


def whole(server: Server, path: str, command: list[str]) -> str:
    return in_turns(lambda: read_all(server, path), lambda: piped(command), lambda ours, bare: ours / bare)


def beside_splice(server: Server, path: str, command: list[str]) -> str:
    return in_turns(lambda: read_all(server, path), lambda: spliced(command), lambda ours, bare: ours / bare)


def first(server: Server, path: str, command: list[str]) -> str:
    return in_turns(
        lambda: first_byte(server, path), lambda: first_of(command), lambda ours, bare: 1000 * (ours - bare)
    )


def in_turns(ours: Callable[[], float], bare: Callable[[], float], compared: Callable[[float, float], float]) -> str:
    """Each once without being measured: then the film is in memory, and so are the programs."""
    ours()
    bare()
    runs = [compared(ours(), bare()) for _ in range(ROUNDS)]
    return f"{statistics.median(runs):.2f} ({min(runs):.2f} to {max(runs):.2f})"


def read_all(server: Server, path: str) -> float:
    wait_until(lambda: not server.ffmpegs(), 20, "no FFmpeg")
    started = time.perf_counter()
    with server.connect() as connection:
        connection.sendall(request(path, "Connection: close"))
        taken = taken_from(connection)
    took = time.perf_counter() - started
    assert taken > 100_000_000
    return took


def taken_from(connection: socket.socket) -> int:
    buffer, taken = bytearray(READ), 0
    while count := connection.recv_into(buffer):
        taken += count
    return taken


def spliced(command: list[str]) -> float:
    started = time.perf_counter()
    sending = spawned(command)
    assert sending.stdout is not None
    fcntl.fcntl(sending.stdout, fcntl.F_SETPIPE_SZ, PIPE)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        argv = [sys.executable, "-S", "-E", "-c", SPLICE, str(listener.getsockname()[1])]
        moving = subprocess.Popen(argv, stdin=sending.stdout, preexec_fn=on_core_zero)
        sending.stdout.close()
        with listener.accept()[0] as connection:
            assert taken_from(connection) > 100_000_000
    assert sending.wait() == moving.wait() == 0
    return time.perf_counter() - started


def piped(command: list[str]) -> float:
    started = time.perf_counter()
    sending = spawned(command)
    subprocess.run(["cat"], stdin=sending.stdout, stdout=subprocess.DEVNULL, check=True)
    assert sending.wait() == 0
    return time.perf_counter() - started


def first_byte(server: Server, path: str) -> float:
    """Of the body: the head leaves with it."""
    wait_until(lambda: not server.ffmpegs(), 20, "no FFmpeg")
    with server.connect() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        started = time.perf_counter()
        connection.sendall(request(path))
        body = read_head(connection)[2]
        while not body:
            body = connection.recv(1000)
        return time.perf_counter() - started


def first_of(command: list[str]) -> float:
    started = time.perf_counter()
    sending = spawned(command)
    assert sending.stdout is not None
    os.read(sending.stdout.fileno(), 1)
    took = time.perf_counter() - started
    sending.kill()
    sending.wait()
    sending.stdout.close()
    return took


def spawned(command: list[str]) -> "subprocess.Popen[bytes]":
    """On core 0, where there are several."""
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, preexec_fn=on_core_zero)


def on_core_zero() -> None:
    if os.cpu_count() != 1:
        os.sched_setaffinity(0, {0})


if __name__ == "__main__":
    main()

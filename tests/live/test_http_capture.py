"""Cameras on HTTP: streams and stills read without FFmpeg, all else with it, and all that may go wrong."""

import asyncio
import shutil
import ssl
import subprocess
import time
from pathlib import Path

import pytest

from mediastream.live import capture, http_capture, jpeg
from mediastream.live.capture import CaptureFailed
from mediastream.live.failures import Reason
from mediastream.live.frames import Frame, FrameTooLarge
from mediastream.live.http_capture import captured
from tests.live.httpsource import Exchange, HttpSource, source
from tests.live.test_capture import failure_of, take, terms
from tests.live.test_frames import make_jpegs
from tests.live.test_jpeg import standard, without_tables
from tests.media import H264, VIDEO, run_ffmpeg


@pytest.fixture(scope="module")
def jpegs() -> list[bytes]:
    return make_jpegs()


@pytest.fixture
def no_ffmpeg(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("this needs no FFmpeg")

    monkeypatch.setattr(capture, "command", refuse)


async def native(served: HttpSource, count: int, **more: object) -> list[Frame]:
    frames, facts, _ = await take(terms(served.url, **more), "no-ffmpeg", count)
    assert (facts.codec, facts.copied) == ("mjpeg", True)
    return frames


@pytest.mark.usefixtures("no_ffmpeg")
async def test_mjpeg_is_read_as_it_comes(jpegs: list[bytes]) -> None:
    async with source(lambda it: it.stream(jpegs)) as served:
        before = time.time()
        frames = await native(served, 6)
        assert [frame.jpeg for frame in frames[:6]] == jpegs * 2
        assert all(before <= frame.captured <= time.time() for frame in frames)
        assert len(served.asked) == 1


@pytest.mark.usefixtures("no_ffmpeg")
@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize(
    ("content_type", "head"),
    [
        ("multipart/x-mixed-replace; boundary=x", b"--x\r\nContent-Type: image/jpeg\r\n\r\n"),
        ("multipart/x-mixed-replace; boundary=--x", b"--x\r\nContent-Length: 3\r\n\r\n"),
        ("multipart/x-mixed-replace;boundary=\"other\"", b"--x\nContent-type:image/jpeg\n\n"),
        ("multipart/x-mixed-replace", b""),
    ],
)  # fmt: skip
async def test_what_it_says_of_its_parts_is_not_relied_on(
    jpegs: list[bytes], content_type: str, head: bytes, size: int
) -> None:
    async def answer(it: Exchange) -> None:
        await it.head(content_type)
        data = b"".join(head + picture + b"\r\n" for picture in jpegs)
        for at in range(0, len(data), size):
            await it.send(data[at : at + size])
        await asyncio.sleep(60)

    async with source(answer) as served:
        assert [frame.jpeg for frame in await native(served, 3)] == jpegs


@pytest.mark.usefixtures("no_ffmpeg")
async def test_chunked_http_1_1_and_plain_http_1_0(jpegs: list[bytes]) -> None:
    async def chunked(it: Exchange) -> None:
        await it.head("multipart/x-mixed-replace; boundary=x", "Transfer-Encoding: chunked")
        for picture in jpegs:
            part = b"--x\r\n\r\n" + picture
            await it.send(b"%x\r\n%b\r\n" % (len(part), part))
        await asyncio.sleep(60)

    async def plain(it: Exchange) -> None:
        await it.send(b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace;boundary=x\r\n\r\n")
        for picture in jpegs:
            await it.part(picture)
        await asyncio.sleep(60)

    for script in (chunked, plain):
        async with source(script) as served:
            assert [frame.jpeg for frame in await native(served, 3)] == jpegs


@pytest.mark.usefixtures("no_ffmpeg")
async def test_tables_that_a_camera_leaves_out_are_put_in() -> None:
    whole = standard()
    async with source(lambda it: it.stream([without_tables(whole)])) as served:
        picture = (await native(served, 1))[0].jpeg
        assert jpeg.STANDARD_TABLES in picture
        assert picture == jpeg.with_tables(without_tables(whole))


@pytest.mark.usefixtures("no_ffmpeg")
async def test_the_camera_s_own_time_of_capture_is_kept(jpegs: list[bytes]) -> None:
    then = time.time() - 5

    async def answer(it: Exchange) -> None:
        await it.head("multipart/x-mixed-replace; boundary=x")
        for number, picture in enumerate(jpegs):
            await it.part(picture, b"X-Timestamp: %.6f\r\n" % (then + number))
        await asyncio.sleep(60)

    async with source(answer) as served:
        times = [frame.captured for frame in await native(served, 3)]
        assert times == pytest.approx([then, then + 1, then + 2], abs=1e-5)


@pytest.mark.parametrize(
    ("head", "time"),
    [
        (b"", 1000.0),
        (b"X-Timestamp: 995.25\r\n", 995.25),
        (b"--x\r\nx-timestamp:999\r\n\r\n", 999.0),
        (b"X-Timestamp: 990\r\n\r\n--x\r\nX-Timestamp: 991\r\n", 991.0),
        (b"X-Timestamp: 1000.5\r\n", 1000.5),
        (b"X-Timestamp: 1002\r\n", 1000.0),
        (b"X-Timestamp: 100\r\n", 1000.0),
        (b"X-Timestamp: -995\r\n", 1000.0),
        (b"X-Timestamp: 9e2\r\n", 1000.0),
        (b"X-Timestamp: nan\r\n", 1000.0),
        (b"Not-X-Timestamp: 995\r\n", 1000.0),
        (b"X-Timestamp: " + b"9" * 2000 + b"\r\n", 1000.0),
    ],
)
def test_a_clock_that_is_far_off_is_not_believed(head: bytes, time: float) -> None:
    assert captured(head, 1000.0) == time


@pytest.mark.usefixtures("no_ffmpeg")
async def test_single_pictures_are_asked_for_again(jpegs: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_capture, "STILLS_EVERY", 0.1)
    numbers = iter(jpegs * 100)
    async with source(lambda it: it.whole("image/jpeg", next(numbers))) as served:
        began = time.monotonic()
        assert [frame.jpeg for frame in await native(served, 4)] == [*jpegs, jpegs[0]]
        assert time.monotonic() - began > 0.29
        assert len(served.asked) == 4
        assert len({exchange.writer for exchange in served.asked}) == 1, "one connection for all"


@pytest.mark.usefixtures("no_ffmpeg")
async def test_of_a_stream_one_picture_at_a_time(jpegs: list[bytes]) -> None:
    """The still mode, for a camera or a line that a stream is too much for."""
    async with source(lambda it: it.stream(jpegs)) as served:
        frames = await native(served, 2, still_every=1)
        assert [frame.jpeg for frame in frames] == [jpegs[0]] * 2
        assert frames[1].captured - frames[0].captured > 0.9
        assert len(served.asked) == 2


@pytest.mark.usefixtures("no_ffmpeg")
@pytest.mark.parametrize("scheme", ["Basic", "Digest"])
@pytest.mark.parametrize("password", ["hush", "p@s s:/'ü"])
async def test_name_and_password(jpegs: list[bytes], scheme: str, password: str) -> None:
    async def answer(it: Exchange) -> None:
        if not await it.asks_password(scheme, "viewer", password):
            await it.stream(jpegs)

    async with source(answer) as served:
        assert await native(served, 2, username="viewer", password=password)
        assert "authorization" not in served.asked[0].fields, "nothing is told before it is asked for"
        for login in ({}, {"username": "viewer", "password": "wrong"}):
            failure = await failure_of(terms(served.url, **login), "no-ffmpeg")
            assert (failure.reason, failure.words) == (Reason.CREDENTIALS, "it answers 401 Unauthorized")


@pytest.mark.usefixtures("no_ffmpeg")
@pytest.mark.parametrize("scheme", ["Basic", "Digest"])
async def test_stills_sign_in_once(jpegs: list[bytes], scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_capture, "STILLS_EVERY", 0.02)

    async def answer(it: Exchange) -> None:
        if not await it.asks_password(scheme, "viewer", "hush"):
            await it.whole("image/jpeg", jpegs[0])

    async with source(answer) as served:
        await native(served, 5, username="viewer", password="hush")
        refused = [exchange for exchange in served.asked if "authorization" not in exchange.fields]
        assert len(served.asked) <= 5 + 2
        assert len(refused) <= 2


@pytest.mark.usefixtures("no_ffmpeg")
@pytest.mark.parametrize("scheme", ["Basic", "Digest"])
async def test_another_server_is_not_told_the_password(jpegs: list[bytes], scheme: str) -> None:
    async def other(it: Exchange) -> None:
        if not await it.asks_password(scheme, "viewer", "hush"):
            await it.stream(jpegs)

    async with source(other) as elsewhere, source(lambda it: it.redirect(elsewhere.url)) as served:
        failure = await failure_of(terms(served.url, username="viewer", password="hush"), "no-ffmpeg")
        assert failure.reason is Reason.CREDENTIALS
        assert not [exchange for exchange in elsewhere.asked if "authorization" in exchange.fields]


@pytest.mark.usefixtures("no_ffmpeg")
async def test_redirects_are_followed_but_not_for_ever(jpegs: list[bytes]) -> None:
    async def answer(it: Exchange) -> None:
        if it.path == "/video":
            await it.redirect("/really?a=b")
        elif it.path == "/really?a=b":
            await it.stream(jpegs)
        else:
            await it.redirect("/round")

    async with source(answer) as served:
        assert await native(served, 1)
        failure = await failure_of(terms(served.url.replace("video", "round")), "no-ffmpeg")
        assert (failure.reason, failure.words) == (Reason.REFUSED, "it redirects more than 5 times")


@pytest.mark.usefixtures("no_ffmpeg")
@pytest.mark.parametrize("where", ["file:///etc/passwd", "ftp://127.0.0.1/x", "", "concat:/etc/passwd", "http://["])
async def test_redirects_lead_to_no_file(where: str) -> None:
    async with source(lambda it: it.redirect(where)) as served:
        failure = await failure_of(terms(served.url), "no-ffmpeg")
        assert failure.reason in (Reason.REFUSED, Reason.NO_VIDEO)


@pytest.mark.usefixtures("no_ffmpeg")
@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ("404 Not Found", Reason.REFUSED),
        ("403 Forbidden", Reason.CREDENTIALS),
        ("500 Oops", Reason.REFUSED),
        ("204 No", Reason.REFUSED),
    ],
)
async def test_other_answers(status: str, reason: Reason) -> None:
    async with source(lambda it: it.whole("text/plain", b"", status=status)) as served:
        failure = await failure_of(terms(served.url), "no-ffmpeg")
        assert (failure.reason, failure.words) == (reason, f"it answers {status}")


@pytest.mark.usefixtures("no_ffmpeg")
async def test_a_page_is_no_video() -> None:
    async with source(lambda it: it.whole("text/html; charset=utf-8", b"<h1>Camera</h1>")) as served:
        failure = await failure_of(terms(served.url), "no-ffmpeg")
        assert (failure.reason, failure.words) == (Reason.NO_VIDEO, "it answers with text/html")


@pytest.mark.usefixtures("no_ffmpeg")
async def test_nobody_there() -> None:
    failure = await failure_of(terms("http://u:hush@127.0.0.1:1/"), "no-ffmpeg")
    assert (failure.reason, failure.words) == (Reason.REFUSED, "Connection refused")
    failure = await failure_of(terms("http://nobody.invalid/"), "no-ffmpeg")
    assert (failure.reason, failure.words) == (Reason.REFUSED, "there is no host of its name")


@pytest.mark.usefixtures("no_ffmpeg")
async def test_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_capture, "PATIENCE", 0.3)
    async with source(lambda it: asyncio.sleep(60)) as served:
        failure = await failure_of(terms(served.url), "no-ffmpeg")
        assert failure.reason is Reason.TIMED_OUT


@pytest.mark.usefixtures("no_ffmpeg")
@pytest.mark.parametrize(
    "said", [b"\xff\xd8 this is no HTTP\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: " + b"x" * 10**6 + b"\r\n\r\n"]
)
async def test_an_answer_that_is_none(said: bytes) -> None:
    async with source(lambda it: it.send(said)) as served:
        assert (await failure_of(terms(served.url), "no-ffmpeg")).reason is Reason.NO_VIDEO


@pytest.mark.usefixtures("no_ffmpeg")
async def test_a_head_that_never_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_capture, "PATIENCE", 5.0)

    async def answer(it: Exchange) -> None:
        await it.send(b"HTTP/1.1 200 OK\r\n")
        number = 0
        while True:
            await it.send(b"X-%d: x\r\n" % number)
            number += 1

    async with source(answer) as served:
        assert (await failure_of(terms(served.url), "no-ffmpeg")).reason in (Reason.NO_VIDEO, Reason.TIMED_OUT)


@pytest.mark.usefixtures("no_ffmpeg")
async def test_a_stream_that_ends_or_breaks_off(jpegs: list[bytes]) -> None:
    async def ends(it: Exchange) -> None:
        await it.head("multipart/x-mixed-replace; boundary=x", "Connection: close")
        await it.part(jpegs[0])
        it.writer.close()

    async def breaks(it: Exchange) -> None:
        await it.head("multipart/x-mixed-replace; boundary=x", "Content-Length: 1000000")
        await it.part(jpegs[0])
        it.writer.close()

    async def hangs_up(it: Exchange) -> None:
        it.writer.close()

    for script in (ends, breaks, hangs_up):
        async with source(script) as served:
            assert (await failure_of(terms(served.url), "no-ffmpeg")).reason is Reason.ENDED


@pytest.mark.usefixtures("no_ffmpeg")
async def test_half_pictures_and_garbage_cost_only_themselves(jpegs: list[bytes]) -> None:
    async def answer(it: Exchange) -> None:
        await it.head("multipart/x-mixed-replace; boundary=x")
        for junk in (jpegs[0][: len(jpegs[0]) // 2], b"\0" * 100_000, jpegs[1][:-2]):
            await it.part(junk)
            await it.part(jpegs[2])
        await asyncio.sleep(60)

    async with source(answer) as served:
        assert [frame.jpeg for frame in await native(served, 3)] == [jpegs[2]] * 3


@pytest.mark.usefixtures("no_ffmpeg")
async def test_a_picture_of_200_megabytes_is_not_collected() -> None:
    sent = 0

    async def answer(it: Exchange) -> None:
        nonlocal sent
        await it.head("multipart/x-mixed-replace; boundary=x")
        await it.send(b"\xff\xd8\xff\xda\0\2")
        for _ in range(200):
            await it.send(b"x" * 1024 * 1024)
            sent += 1

    async with source(answer) as served:
        with pytest.raises(FrameTooLarge):
            await take(terms(served.url), "no-ffmpeg", 1)
        assert sent < 40


@pytest.mark.usefixtures("no_ffmpeg")
async def test_stills_that_are_none() -> None:
    async with source(lambda it: it.whole("image/jpeg", b"soon")) as served:
        failure = await failure_of(terms(served.url), "no-ffmpeg")
        assert (failure.reason, failure.words) == (Reason.NO_VIDEO, "its answer has no picture in it")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Video in the formats that FFmpeg reads over HTTP."""
    made = tmp_path_factory.mktemp("http")
    for name, more in {
        "a.ts": [], "a.flv": [], "a.mkv": [], "a.mp4": [], "a.m3u8": ["-hls_time", "1"],
        "f.m3u8": ["-hls_time", "1", "-hls_segment_type", "fmp4"],
    }.items():  # fmt: skip
        run_ffmpeg([*VIDEO, "-t", "3", *H264, *more, str(made / name)])
    run_ffmpeg([*VIDEO, "-t", "1", "-c:v", "mjpeg", str(made / "m.avi")])
    (made / "evil.m3u8").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile:///a.ts\n#EXT-X-ENDLIST\n")
    (made / "evil.ts").write_text("ffconcat version 1.0\nfile a.ts\n")
    (made / "nested.ts").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\na.ts\n#EXT-X-ENDLIST\n")
    return made


@pytest.mark.parametrize("name", ["a.ts", "a.flv", "a.mkv", "a.mp4", "a.m3u8", "f.m3u8"])
@pytest.mark.parametrize("signed_in", [False, True])
async def test_other_video_goes_through_ffmpeg(
    ffmpeg_executable: str, folder: Path, name: str, signed_in: bool
) -> None:
    async def answer(it: Exchange) -> None:
        if not (signed_in and await it.asks_password("Basic", "viewer", "p@ss")):
            await it.serve(folder)

    login = {"username": "viewer", "password": "p@ss"} if signed_in else {}
    async with source(answer) as served:
        wanted = terms(served.url.replace("video", name), **login)
        frames, facts, ways = await take(wanted, ffmpeg_executable, 3)
    assert jpeg.size(frames[0].jpeg) == (320, 180)
    assert (facts.codec, facts.copied, ways) == ("h264", False, [False])


async def test_mjpeg_in_a_file_over_http_is_copied(ffmpeg_executable: str, folder: Path) -> None:
    async with source(lambda it: it.serve(folder)) as served:
        _, facts, ways = await take(terms(served.url.replace("video", "m.avi")), ffmpeg_executable, 3)
    assert (facts.codec, facts.copied, ways) == ("mjpeg", True, [False, True])


async def test_a_file_over_http_is_read_at_its_own_pace(ffmpeg_executable: str, folder: Path) -> None:
    async with source(lambda it: it.serve(folder)) as served:
        frames, _, _ = await take(terms(served.url.replace("video", "a.mp4")), ffmpeg_executable, 50)
    assert frames[-1].captured - frames[0].captured > 1.0


async def test_a_playlist_without_its_ending_is_known_by_its_type(ffmpeg_executable: str, folder: Path) -> None:
    async def answer(it: Exchange) -> None:
        if it.path == "/video":
            await it.whole("application/vnd.apple.mpegurl; charset=utf-8", (folder / "a.m3u8").read_bytes())
        else:
            await it.serve(folder)

    async with source(answer) as served:
        _, facts, _ = await take(terms(served.url), ffmpeg_executable, 1)
    assert facts.codec == "h264"


@pytest.mark.parametrize("name", ["evil.m3u8", "evil.ts", "nested.ts"])
async def test_an_answer_leads_ffmpeg_nowhere_else(ffmpeg_executable: str, folder: Path, name: str) -> None:
    async with source(lambda it: it.serve(folder)) as served:
        failure = await failure_of(terms(served.url.replace("video", name)), ffmpeg_executable)
        assert failure.reason is Reason.NO_VIDEO, failure
        assert {exchange.path for exchange in served.asked} == {f"/{name}"}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl")
    path = tmp_path_factory.mktemp("tls") / "camera.pem"
    subprocess.run(
        [
            *(openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=camera"),
            *("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", path, "-out", f"{path}.crt"),
        ],
        check=True,
        capture_output=True,
    )
    with path.open("a") as file:
        file.write(Path(f"{path}.crt").read_text())
    return path


def server_side(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


@pytest.mark.usefixtures("no_ffmpeg")
async def test_a_camera_that_signs_its_own_certificate(jpegs: list[bytes], certificate: Path) -> None:
    async with source(lambda it: it.stream(jpegs), server_side(certificate)) as served:
        failure = await failure_of(terms(served.url), "no-ffmpeg")
        assert failure.reason is Reason.REFUSED
        assert failure.words == "its certificate is not one that this server trusts"
        assert served.asked == []
        assert await native(served, 1, any_certificate=True)


@pytest.mark.usefixtures("no_ffmpeg")
async def test_from_tls_there_is_no_way_back(jpegs: list[bytes], certificate: Path) -> None:
    async with source(lambda it: it.stream(jpegs)) as plain:
        async with source(lambda it: it.redirect(plain.url), server_side(certificate)) as served:
            failure = await failure_of(terms(served.url, any_certificate=True), "no-ffmpeg")
            assert (failure.reason, failure.words) == (Reason.REFUSED, "it redirects to http")
        assert plain.asked == []


async def test_ffmpeg_looks_at_certificates_too(ffmpeg_executable: str, folder: Path, certificate: Path) -> None:
    async with source(lambda it: it.serve(folder), server_side(certificate)) as served:
        url = served.url.replace("video", "a.ts")
        assert await take(terms(url, any_certificate=True), ffmpeg_executable, 1)
        with pytest.raises(CaptureFailed):
            await take(terms(url), ffmpeg_executable, 1)
        playlist = await failure_of(terms(served.url.replace("video", "a.m3u8")), ffmpeg_executable)
        assert playlist.reason is Reason.REFUSED, playlist


async def test_a_source_that_is_left_is_let_go(jpegs: list[bytes]) -> None:
    over = asyncio.Event()

    async def answer(it: Exchange) -> None:
        try:
            await it.stream(jpegs, pause=0.01)
        finally:
            over.set()

    async with source(answer) as served:
        await native(served, 3)
        async with asyncio.timeout(10):
            await over.wait()

"""Command lines as a table, and what both FFmpegs make of them; hostile files must lead nowhere."""

import asyncio
import io
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import pytest

from media_library.probe import probe
from mediastream.errors import NotMedia
from mediastream.ffmpeg import STORED_FORMATS
from tests.media import Clips, run_ffmpeg
from transcode import argv
from transcode.profiles import PROFILES, Profile

FULL = PROFILES["720p"]
STORED = Path("/srv/media/ab.mp4")


def progressive(
    path: Path = STORED, start: float = 0.0, profile: Profile = FULL, video: int | None = 0, audio: int | None = 1
) -> list[str]:
    return argv.progressive("ffmpeg", path, profile, start, video=video, audio=audio)


def poster(path: Path = STORED, at: float = 0.0, video: int = 0) -> list[str]:
    return argv.poster("ffmpeg", path, at, 640, video=video)


def option(command: list[str], name: str) -> str:
    assert command.count(name) == 1
    return command[command.index(name) + 1]


def values(command: list[str], name: str) -> list[str]:
    return [command[index + 1] for index, word in enumerate(command) if word == name]


@pytest.mark.parametrize("command", [progressive(), progressive(start=3.0), poster(), poster(at=3.0)])
def test_every_command_is_confined(command: list[str]) -> None:
    before_input = command[: command.index("-i")]
    assert command[0] == "ffmpeg"
    assert option(before_input, "-protocol_whitelist") == "file"
    assert option(before_input, "-format_whitelist") == ",".join(STORED_FORMATS)
    assert values(command, "-i") == ["file:/srv/media/ab.mp4"]
    assert command[-5:] == ["pipe:1", *argv.GLOBAL]
    assert command.count("pipe:1") == 1
    assert "-nostdin" in command
    assert "-vsync" not in command  # gone in FFmpeg 9


@pytest.mark.parametrize(("start", "seek"), [(0.0, []), (0.5, ["0.500"]), (12.0, ["12.000"]), (1e6, ["1000000.000"])])
def test_a_seek_stands_before_the_input_and_only_where_there_is_one(start: float, seek: list[str]) -> None:
    for command in (progressive(start=start), poster(at=start)):
        assert values(command, "-ss") == seek
        assert values(command[: command.index("-i")], "-ss") == seek


@pytest.mark.parametrize(
    ("video", "audio", "filtered", "maps"),
    [
        (0, 1, "[0:0]scale", ["[s2]", "0:1"]),
        (1, 0, "[0:1]scale", ["[s2]", "0:0"]),
        (3, None, "[0:3]scale", ["[s2]"]),
        (None, 2, None, ["0:2"]),
    ],
)
def test_the_streams_chosen_are_the_ones_sent(
    video: int | None, audio: int | None, filtered: str | None, maps: list[str]
) -> None:
    command = progressive(video=video, audio=audio)
    assert values(command, "-map") == maps
    graphs = values(command, "-filter_complex")
    assert [graph.startswith(filtered or "") for graph in graphs] == ([True] if filtered else [])
    assert ("-vcodec" in command) == (video is not None)
    assert ("-acodec" in command) == (audio is not None)


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES.keys())
def test_a_profile_bounds_height_and_bit_rates(profile: Profile) -> None:
    command = progressive(profile=profile)
    graph = option(command, "-filter_complex")
    assert f"scale=h=trunc(min({profile.height}\\,ih)/2)*2:w=-2" in graph
    assert "format=pix_fmts=yuv420p" in graph
    assert option(command, "-b:v") == option(command, "-maxrate") == str(profile.video_bitrate)
    assert option(command, "-b:a") == str(profile.audio_bitrate)
    assert option(command, "-vcodec") == "libx264"


def test_the_output_can_be_played_while_it_is_made() -> None:
    command = progressive()
    assert option(command, "-f") == "mp4"
    assert set(option(command, "-movflags").split("+")) == {
        "frag_keyframe",
        "empty_moov",
        "default_base_moof",
        "frag_discont",
    }
    assert option(command, "-force_key_frames") == "expr:gte(t,n_forced*2)"


NAMES = ["it's.mp4", 'a "b".mp4', "new\nline.mp4", "🎬 film.mp4", "-i.mp4", "-", "%03d.mp4", "a:b;$(id)|[0:v],x=y.mp4"]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_one_word_of_the_command(name: str) -> None:
    for command in (progressive(Path("/srv") / name), poster(Path("/srv") / name)):
        assert values(command, "-i") == [f"file:/srv/{name}"]


@pytest.mark.parametrize("name", ["ab.mp4", "-i", "../ab.mp4", "http://host/ab.mp4"])
def test_a_relative_path_is_refused(name: str) -> None:
    for build in (progressive, poster):
        with pytest.raises(ValueError, match="not absolute"):
            build(Path(name))


def ran(command: list[str]) -> bytes:
    ended = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr.decode()
    return ended.stdout


@dataclass
class Played:
    """What a decoder makes of the output."""

    video: tuple[str, str, int, int] | None
    audio: tuple[str, int] | None
    seconds: float
    frames: int


def played(data: bytes) -> Played:
    with av.open(io.BytesIO(data), format="mp4") as container:
        video = container.streams.video[0] if container.streams.video else None
        audio = container.streams.audio[0] if container.streams.audio else None
        main = video or audio
        assert main is not None
        frames, end = 0, 0.0
        for frame in container.decode(main):
            frames += 1
            end = float(frame.time or 0.0)
        codec = video.codec_context if video else None
        return Played(
            (codec.name, codec.pix_fmt or "", codec.width, codec.height) if codec else None,
            (audio.codec_context.name, audio.codec_context.channels) if audio else None,
            end,
            frames,
        )


@pytest.mark.parametrize(
    ("clip", "start", "profile", "video", "audio", "size", "seconds"),
    [
        ("h264.mp4", 0.0, "720p", 0, 1, (320, 180), 10.0),
        ("h264.mp4", 7.3, "360p", 0, 1, (320, 180), 2.7),
        ("odd.mp4", 0.0, "720p", 0, None, (322, 182), 2.0),
        ("sound.mp3", 0.0, "720p", None, 0, None, 3.0),
        ("sound.mp3", 1.5, "720p", None, 0, None, 1.5),
    ],
)
def test_browsers_can_play_what_comes_out(
    ffmpeg_executable: str,
    clips: Clips,
    clip: str,
    start: float,
    profile: str,
    video: int | None,
    audio: int | None,
    size: tuple[int, int] | None,
    seconds: float,
) -> None:
    command = argv.progressive(ffmpeg_executable, clips[clip], PROFILES[profile], start, video=video, audio=audio)
    data = ran(command)
    found = played(data)
    assert b"moof" in data
    assert data.index(b"moov") < data.index(b"moof")
    assert found.video == (("h264", "yuv420p", *size) if size else None)
    assert found.audio == (("aac", 2) if audio is not None else None)
    assert found.seconds == pytest.approx(seconds, abs=0.25)


def test_large_pictures_are_made_smaller_and_even(ffmpeg_executable: str, tmp_path: Path) -> None:
    """4:2:0 has no odd sizes, and phones film in whatever size they like."""
    source = tmp_path / "phone.mp4"
    run_ffmpeg(
        [
            "-f",
            "lavfi",
            "-i",
            "testsrc2=size=801x601:rate=5",
            "-t",
            "1",
            "-c:v",
            "libx264",
            "-pix_fmt",
            "yuv444p",
            str(source),
        ]
    )
    for profile, size in (("360p", (480, 360)), ("720p", (800, 600))):
        data = ran(argv.progressive(ffmpeg_executable, source, PROFILES[profile], 0.0, video=0, audio=None))
        assert played(data).video == ("h264", "yuv420p", *size)


@pytest.mark.parametrize("name", NAMES)
def test_any_name_can_be_opened(clips: Clips, tmp_path: Path, name: str, ffmpeg_executable: str) -> None:
    path = tmp_path / name
    path.symlink_to(clips["odd.mp4"])
    assert ran(argv.poster(ffmpeg_executable, path, 0.0, 64, video=0)).startswith(b"\xff\xd8")


def test_a_poster_is_one_jpeg_of_its_width(ffmpeg_executable: str, clips: Clips) -> None:
    data = ran(argv.poster(ffmpeg_executable, clips["h264.mp4"], 1.0, 640, video=0))
    assert data.count(b"\xff\xd8\xff") == 1
    with av.open(io.BytesIO(data), format="jpeg_pipe") as container:
        frame = next(container.decode(video=0))
        assert (frame.width, frame.height) == (640, 360)


@dataclass
class Trap:
    """What a hostile file points to: a listening socket, and a second film that could be shown."""

    listener: socket.socket
    port: int
    secret: Path

    def untouched(self) -> bool:
        try:
            self.listener.accept()
        except BlockingIOError:
            return True
        return False


@pytest.fixture
def trap(tmp_path: Path, clips: Clips) -> Iterator[Trap]:
    """The second film is a real one: had it been opened, the transcode would succeed."""
    secret = tmp_path / "secret.ts"
    run_ffmpeg(["-i", str(clips["odd.mp4"]), "-c", "copy", str(secret)])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        yield Trap(listener, listener.getsockname()[1], secret)


PLAYLIST = "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:2,\n{}\n#EXT-X-ENDLIST\n"
HOSTILE = {
    "hls to a file": PLAYLIST.format("file://{secret}"),
    "hls to a path": PLAYLIST.format("{secret}"),
    "hls to the network": PLAYLIST.format("http://127.0.0.1:{port}/x.ts"),
    "hls with a key": PLAYLIST.format(
        '#EXT-X-KEY:METHOD=AES-128,URI="http://127.0.0.1:{port}/key"\nfile://{secret}'
    ),
    "hls by concat": PLAYLIST.format("concat:http://127.0.0.1:{port}/x|file:{secret}"),
    "ffconcat to a file": "ffconcat version 1.0\nfile '{secret}'\n",
    "ffconcat to the network": "ffconcat version 1.0\nfile 'http://127.0.0.1:{port}/x.ts'\n",
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" profiles="urn:mpeg:dash:profile:isoff-on-demand:2011" type="static"><Period><AdaptationSet mimeType="video/mp4"><Representation id="1"><BaseURL>http://127.0.0.1:{port}/x.mp4</BaseURL></Representation></AdaptationSet></Period></MPD>',  # noqa: E501
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {port} RTP/AVP 96\na=rtpmap:96 H264/90000\n",  # noqa: E501
    "smil": '<smil><body><video src="http://127.0.0.1:{port}/x.mp4"/></body></smil>',
}  # fmt: skip


def hostile_file(folder: Path, kind: str, trap: Trap) -> Path:
    path = folder / "holiday.mp4"
    path.write_text(HOSTILE[kind].replace("{secret}", str(trap.secret)).replace("{port}", str(trap.port)))
    return path


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_file_that_names_others_leads_ffmpeg_nowhere(
    ffmpeg_executable: str, tmp_path: Path, trap: Trap, kind: str
) -> None:
    path = hostile_file(tmp_path, kind, trap)
    for command in (
        argv.progressive(ffmpeg_executable, path, FULL, 0.0, video=0, audio=None),
        argv.poster(ffmpeg_executable, path, 0.0, 64, video=0),
    ):
        ended = subprocess.run(command, capture_output=True, timeout=30, check=False)
        assert ended.returncode != 0
        assert ended.stdout == b""
    assert trap.untouched()


@pytest.mark.parametrize("kind", HOSTILE)
async def test_a_file_that_names_others_is_refused_by_the_probe(tmp_path: Path, trap: Trap, kind: str) -> None:
    path = hostile_file(tmp_path, kind, trap)
    async with asyncio.timeout(60):
        with pytest.raises(NotMedia):
            await probe(path)
    assert trap.untouched()


@pytest.mark.parametrize("kind", ["hls to a file", "ffconcat to a file"])
def test_the_trap_would_have_caught_an_unconfined_ffmpeg(
    ffmpeg_executable: str, tmp_path: Path, trap: Trap, kind: str
) -> None:
    """Else the tests above would prove nothing: without whitelists the second file is opened and read."""
    path = hostile_file(tmp_path, kind, trap)
    # The demuxers' own checks of names, which FFmpeg has changed from version to version, are off here.
    checks = {
        "hls to a file": ["-f", "hls", "-allowed_extensions", "ALL"],
        "ffconcat to a file": ["-f", "concat", "-safe", "0"],
    }
    command = [ffmpeg_executable, "-nostdin", *checks[kind], "-i", str(path), "-frames:v", "1", "-f", "mjpeg", "pipe:1"]
    assert ran(command).startswith(b"\xff\xd8")

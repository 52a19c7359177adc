"""Clips made by FFmpeg for the tests, each once for a run, whichever of its processes asks first."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import imageio_ffmpeg

BUNDLED = imageio_ffmpeg.get_ffmpeg_exe()
# Each second begins with a white picture and a tone, a tenth of a second long.
FLASHES = ["-f", "lavfi", "-i", "color=black:size=160x90:rate=25,drawbox=t=fill:color=white:enable='lt(mod(t,1),0.1)'"]
TONES = ["-f", "lavfi", "-i", "aevalsrc='if(lt(mod(t,1),0.1),0.5*sin(2*PI*1000*t))':sample_rate=48000"]
VIDEO = ["-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25"]
SOUND = ["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"]
H264 = ["-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-pix_fmt", "yuv420p"]
FAST = ["-movflags", "+faststart"]

RECIPES: dict[str, list[str]] = {
    "h264.mp4": [*VIDEO, *SOUND, "-t", "10", *H264, "-c:a", "aac", *FAST],
    "silent.mp4": [*VIDEO, "-t", "3", *H264, *FAST],
    "yuv444.mp4": [*VIDEO, *SOUND, "-t", "10", *H264[:-1], "yuv444p", "-c:a", "aac", *FAST],
    "h264.mkv": [*VIDEO, *SOUND, "-t", "10", *H264, "-c:a", "ac3"],
    "bframes.mp4": [*VIDEO, "-t", "10", "-c:v", "libx264", "-bf", "3", "-g", "50", "-pix_fmt", "yuv420p", *FAST],
    "subtitled.mkv": [
        *VIDEO,
        *SOUND,
        "-f",
        "srt",
        "-i",
        "data:text/plain;base64,MQowMDowMDowMCw1MDAgLS0+IDAwOjAwOjA5LDAwMApIZWxsbyB0aGVyZQo=",
        "-t",
        "10",
        *H264,
        "-c:a",
        "ac3",
        "-c:s",
        "srt",
    ],
    "mpeg4.avi": [*VIDEO, *SOUND, "-t", "10", "-c:v", "mpeg4", "-c:a", "libmp3lame"],
    "flashes.mp4": [
        *FLASHES,
        *TONES,
        "-t",
        "60",
        "-c:v",
        "libx264",
        "-bf",
        "3",
        "-g",
        "25",
        "-pix_fmt",
        "yuv420p",
        "-c:a",
        "aac",
        *FAST,
    ],
    "flashes.mkv": [*FLASHES, *TONES, "-t", "60", "-c:v", "mpeg4", "-bf", "2", "-c:a", "ac3"],
    "sizes.avi": [
        "-f",
        "lavfi",
        "-i",
        "testsrc2=size=854x480:rate=25",
        *SOUND,
        "-t",
        "90",
        "-c:v",
        "mpeg4",
        "-q:v",
        "6",
        "-c:a",
        "libmp3lame",
    ],
    "vp8.webm": [*VIDEO, *SOUND, "-t", "3", "-c:v", "libvpx", "-deadline", "realtime", "-c:a", "libopus"],
    "sound.mp3": [*SOUND, "-t", "3", "-c:a", "libmp3lame"],
    "odd.mp4": ["-f", "lavfi", "-i", "testsrc2=size=322x182:rate=25", "-t", "2", *H264, *FAST],
}
LOOPED = {"long.mp4": "h264.mp4", "long444.mp4": "yuv444.mp4"}


@dataclass
class Clips:
    folder: Path

    def __getitem__(self, name: str) -> Path:
        path = self.folder / name
        if not path.exists():
            draft = self.folder / f"{os.getpid()}-{name}"
            run_ffmpeg([*(self._looped(LOOPED[name]) if name in LOOPED else RECIPES[name]), str(draft)])
            draft.rename(path)
        return path

    def _looped(self, name: str) -> list[str]:
        """Ten minutes, without encoding them."""
        return ["-stream_loop", "59", "-i", str(self[name]), "-c", "copy", *FAST]


def run_ffmpeg(arguments: list[str]) -> None:
    subprocess.run([BUNDLED, "-nostdin", "-loglevel", "error", "-y", *arguments], check=True, timeout=120)

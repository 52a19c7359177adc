"""What a fresh data folder gets: an administrator, a camera, a few clips. Does nothing a second time."""

import asyncio
import secrets
import tempfile
from pathlib import Path
from typing import Any

import ffmpeg as ffmpeg_python
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand

from media_library import ingest
from media_library.models import Media
from mediastream import ffmpeg, homeloop, process
from mediastream.access import Visibility
from mediastream.ffmpeg import last_words
from mediastream.live.models import Camera
from mediastream.live.sources import TEST_PATTERN

SECONDS = 15
# Title, file name, picture, tone in Hz, encoders. The last is one no browser plays as it is.
SPIRAL = "gradients=size=640x360:rate=25:speed=0.03:nb_colors=5:type=spiral:seed=4"
LIFE = "life=size=480x270:rate=25:mold=12:life_color=#8fd4ff:death_color=#20415a:ratio=0.12:seed=7"
Clip = tuple[str, str, str, int, tuple[str, str]]
CLIPS: tuple[Clip, ...] = (
    ("Mandelbrot", "mandelbrot.mp4", "mandelbrot=size=640x360:rate=25:maxiter=512", 220, ("libx264", "aac")),
    ("Colours", "colours.webm", SPIRAL, 330, ("libvpx", "libopus")),
    ("Game of life (MPEG-4 in AVI)", "life.avi", LIFE, 440, ("mpeg4", "libmp3lame")),
)


class Command(BaseCommand):
    help = "Fills a fresh data folder with an administrator, a test pattern and demo clips."

    def handle(self, *args: Any, **options: Any) -> None:
        marker = Path(settings.DATA_DIR) / "first_run_done"
        if marker.exists():
            return
        self._administrator()
        Camera.objects.get_or_create(
            slug="test-pattern",
            defaults={"name": "Test pattern", "source": TEST_PATTERN, "visibility": Visibility.PUBLIC},
        )
        self._clips()
        marker.touch()

    def _administrator(self) -> None:
        users = get_user_model().objects
        if users.filter(is_superuser=True).exists():
            return
        given = settings.ENVIRONMENT.admin_password
        password = given or secrets.token_urlsafe(12)
        users.create_superuser("admin", "", password)
        said = "as in MEDIASTREAM_ADMIN_PASSWORD" if given else f"{password} (shown this once)"
        self.stdout.write(f"Administrator: admin, password: {said}\nChange it at /admin/password_change/")

    def _clips(self) -> None:
        """A clip that cannot be made is left out and said; the server is as good without."""
        made = set(Media.objects.values_list("original_name", flat=True))
        wanted = [clip for clip in CLIPS if clip[1] not in made]
        with tempfile.TemporaryDirectory(dir=settings.FILE_UPLOAD_TEMP_DIR) as folder:
            paths = [Path(folder) / name for _, name, *_ in wanted]
            ended = homeloop.call(_made(wanted, paths))
            for (title, name, *_), path, finished in zip(wanted, paths, ended, strict=True):
                if finished.returncode == 0:
                    ingest.add_file(path, title=title, visibility=Visibility.PUBLIC)
                else:
                    self.stderr.write(f"No demo clip {name}: {last_words(finished.stderr)}")


async def _made(clips: list[Clip], paths: list[Path]) -> list[process.Finished]:
    """All at once, as somebody waits for the first start."""
    executable = ffmpeg.executable(settings.FFMPEG)
    commands = [clip_argv(executable, path, *clip[2:]) for clip, path in zip(clips, paths, strict=True)]
    return await asyncio.gather(*(process.run(argv, timeout=120) for argv in commands))


def clip_argv(executable: str, path: Path, picture: str, tone: int, encoders: tuple[str, str]) -> list[str]:
    video = ffmpeg_python.input(picture, f="lavfi", t=SECONDS)
    sound = ffmpeg_python.input(f"sine=frequency={tone}:beep_factor=4:sample_rate=48000", f="lavfi", t=SECONDS)
    options = {
        "vcodec": encoders[0],
        "acodec": encoders[1],
        "pix_fmt": "yuv420p",
        "g": 50,
        "b:v": "1500k",
        "ac": 2,
    }
    if encoders[0] == "libx264":
        options |= {"preset": "veryfast", "movflags": "+faststart"}
    if encoders[0] == "libvpx":
        options |= {"deadline": "realtime", "cpu-used": 16}
    output = ffmpeg_python.output(video, sound.filter("volume", 0.2), str(path), **options)
    return [str(word) for word in output.global_args("-nostdin", "-loglevel", "error").compile(cmd=executable)]

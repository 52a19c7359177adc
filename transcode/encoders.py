"""What can encode H.264 here, as one frozen table: the software that always can, and what hardware may. Pure.

Each odd option has its reason beside it; all are those that FFmpeg 5.1 and 9 share.
"""

from dataclasses import dataclass
from typing import Any

from mediastream.process import Limits

# Twice what 8K video takes; a file made to eat memory ends here and not in the server.
SOFTWARE_LIMITS = Limits(address_space=8 * 1024**3)
# Drivers map more than there is: CUDA alone tens of gigabytes of addresses.
HARDWARE_LIMITS = Limits()


@dataclass(frozen=True)
class Encoder:
    """`codec`: FFmpeg's name; `options`: its own ones, beside bit rate and key frames; `pixels`: what it takes;
    `upload`: to a device's memory first; `device`: FFmpeg's global options that open it; `needs`: a pattern of the
    files without which a trial is useless."""

    name: str
    codec: str
    options: tuple[tuple[str, Any], ...]
    pixels: str = "yuv420p"
    upload: bool = False
    device: tuple[str, ...] = ()
    needs: str = ""
    limits: Limits = HARDWARE_LIMITS


SOFTWARE = Encoder(
    "software",
    "libx264",
    # zerolatency: the first picture leaves at once instead of after forty frames of lookahead.
    (("tune", "zerolatency"),),
    limits=SOFTWARE_LIMITS,
)
HARDWARE = (
    # forced-idr: a forced key frame is otherwise an I-picture, at which no fragment can begin.
    Encoder("nvenc", "h264_nvenc", (("preset", "p4"), ("tune", "ll"), ("forced-idr", 1)), needs="/dev/nvidia[0-9]*"),
    # async_depth: four pictures would wait in it otherwise.
    Encoder(
        "qsv", "h264_qsv", (("preset", "veryfast"), ("forced_idr", 1), ("async_depth", 1)), "nv12",
        needs="/dev/dri/renderD*",
    ),
    Encoder(
        "vaapi", "h264_vaapi", (), "nv12", upload=True, device=("-vaapi_device", "/dev/dri/renderD128"),
        needs="/dev/dri/renderD128",
    ),
    Encoder("videotoolbox", "h264_videotoolbox", (("realtime", 1),), needs="/System/Library/Frameworks/VideoToolbox*"),
)  # fmt: skip
BY_NAME = {encoder.name: encoder for encoder in (SOFTWARE, *HARDWARE)}
NAMES = ("auto", *BY_NAME)

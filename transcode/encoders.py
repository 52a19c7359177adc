"""What can encode H.264 here, as one frozen table: the software that always can, and what hardware may. Pure.

Each odd option has its reason beside it; all are those that FFmpeg 5.1 and 9 share. Key frames that are asked for
must be IDR pictures, at which a segment can begin: libx264, VAAPI and VideoToolbox make them so by themselves, NVENC
and Quick Sync if told to.
"""

from dataclasses import dataclass
from typing import Any

from mediastream.limits import Limits

Options = tuple[tuple[str, Any], ...]

# Twice what 8K video takes; a file made to eat memory ends here and not in the server.
SOFTWARE_LIMITS = Limits(address_space=8 * 1024**3)
# Drivers map more than there is: CUDA alone tens of gigabytes of addresses.
HARDWARE_LIMITS = Limits()


@dataclass(frozen=True)
class Encoder:
    """`codec`: FFmpeg's name; `options`: its own ones, whatever is encoded; `prompt`: so that the first picture leaves
    at once; `quality`: for a file that is kept, in place of a bit rate; `pixels`: what it takes; `upload`: to a
    device's memory first; `device`: FFmpeg's global options that open it; `needs`: a pattern of the files without
    which a trial is useless."""

    name: str
    codec: str
    options: Options = ()
    prompt: Options = ()
    quality: Options = ()
    pixels: str = "yuv420p"
    upload: bool = False
    device: tuple[str, ...] = ()
    needs: str = ""
    limits: Limits = HARDWARE_LIMITS


SOFTWARE = Encoder(
    "software", "libx264",
    # Instead of after forty frames of lookahead.
    prompt=(("tune", "zerolatency"),),
    quality=(("crf", 20),),
    limits=SOFTWARE_LIMITS,
)  # fmt: skip
HARDWARE = (
    Encoder(
        "nvenc", "h264_nvenc", (("preset", "p4"), ("forced-idr", 1)),
        prompt=(("tune", "ll"),),
        # A rate of 0 leaves it to cq alone.
        quality=(("rc", "vbr"), ("cq", 21), ("b:v", 0)),
        needs="/dev/nvidia[0-9]*",
    ),
    Encoder(
        "qsv", "h264_qsv", (("preset", "veryfast"), ("forced_idr", 1)),
        # Four pictures would wait in it otherwise.
        prompt=(("async_depth", 1),),
        quality=(("global_quality", 21),),
        pixels="nv12", needs="/dev/dri/renderD*",
    ),
    Encoder(
        "vaapi", "h264_vaapi",
        # Of all ways to a quality the one that every driver has.
        quality=(("rc_mode", "CQP"), ("qp", 21)),
        pixels="nv12", upload=True, device=("-vaapi_device", "/dev/dri/renderD128"), needs="/dev/dri/renderD128",
    ),
    Encoder(
        "videotoolbox", "h264_videotoolbox",
        prompt=(("realtime", 1),),
        # Of 100; Apple's own chips alone take it, and where it is refused software encodes.
        quality=(("q:v", 65),),
        needs="/System/Library/Frameworks/VideoToolbox*",
    ),
)  # fmt: skip
BY_NAME = {encoder.name: encoder for encoder in (SOFTWARE, *HARDWARE)}
NAMES = ("auto", *BY_NAME)

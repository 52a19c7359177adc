"""What FFmpeg may use for a camera: of its source, and as the encoder of its H.264.

There is no limit on CPU time: the kernel counts it from a process's start (setrlimit(2)), and these run for months, so
any would end a healthy one some day. One that gives nothing is ended by who reads it (rhythm.py, encoder.py).
"""

from mediastream.limits import Limits

LIMITS = Limits(
    # FFmpeg's decoders allot what they are asked to; a 4K camera takes half a gigabyte, of addresses three.
    address_space=8 * 1024**3,
    # What it gives goes through pipes, to which this does not apply; recordings are written by us. So whatever a
    # camera's stream talks it into, it can fill no disk. Not 0, as drivers of graphics cards keep a cache on the disk,
    # and whoever writes past this is killed.
    file_size=64 * 1024**2,
)

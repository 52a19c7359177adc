"""The settings, and the waits that last a minute made short, for servers whose tests wait for their end.

Set as DJANGO_SETTINGS_MODULE: so it reaches every server, whatever its command.
"""

from mediastream import bodies, pulling
from mediastream.live import registry
from mediastream.settings import *  # noqa: F403

bodies.Body.patience = 3.0
pulling.HEARTBEAT = 0.5
registry.LINGER = 1.0
# A camera that stands still is not ended meanwhile: that its viewer has gone must be noticed by other means.
registry.STANDSTILL = 120.0

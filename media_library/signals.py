"""What the library tells higher floors."""

from django.dispatch import Signal

# Sent inside the call that stored a file, once it has been probed: the poster is made here. Argument: media.
media_ready = Signal()

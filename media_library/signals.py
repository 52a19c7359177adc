"""What the library tells higher floors."""

from django.dispatch import Signal

# Sent inside the call that stored a file, once it has been probed. Arguments: media; wait: whether the caller may be
# kept until the picture of it is made.
media_ready = Signal()

# These items are stored and yet to be probed, by a process of its own. Argument: items.
probe_wanted = Signal()

"""Our worker with zero copy switched off, so that the same response is read and sent in chunks: bench only.

Named to gunicorn in place of the real one, it serves as that does over TLS.
"""

from mediastream.server.connection import Connection
from mediastream.server.worker import MediaWorker

assert isinstance(Connection.can_send_files, property), "what decides on zero copy has another name"
Connection.can_send_files = property(lambda connection: False)


class ChunksWorker(MediaWorker):
    """The one that the switch above is for."""

"""This server's own settings, but for its addresses."""

from mediastream.settings import *  # noqa: F403

ROOT_URLCONF = "bench.peers.publishing_urls"

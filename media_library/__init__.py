"""Stored media: what is kept, what the probe found in it, and its bytes by ranges."""

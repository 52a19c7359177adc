"""mediastream: a streaming server on Django."""

__version__ = "0.1.0"

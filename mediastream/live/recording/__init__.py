"""Recordings: a camera's H.264 kept as segments on disk, and any past span of them as one file."""

"""FFmpeg between a stored file and a viewer: transcoding on the fly, and posters."""

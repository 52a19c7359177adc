"""The others, each served the same file."""

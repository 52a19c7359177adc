"""The others, and ourselves beside them, each served the same file. Imports nothing: some of it runs in servers."""
